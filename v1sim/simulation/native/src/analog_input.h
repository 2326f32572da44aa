/*
 *  Numbers that enter synapses in place of spikes.
 *
 *  Training may feed LGN cells' spike probabilities themselves into the input
 *  synapses. NEST's spikes carry no number, so that a source of analog input
 *  sends a spike in every step, and the neuron that receives it multiplies the
 *  synapse's weight by the source's value of the step in which it was sent. Sources and
 *  neurons read the same table; the synapses are those that are read back.
 */
#ifndef V1SIM_ANALOG_INPUT_H
#define V1SIM_ANALOG_INPUT_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "event.h"

namespace v1sim
{

//! Values of the sources of analog input in the steps of a trial.
class AnalogInput
{
public:
  //! Row-major values[ n_steps ][ n_sources ] of nodes first_node .., from time stamp first_step on.
  void give( size_t first_node, size_t n_sources, std::int64_t first_step, size_t n_steps, const float* values );
  void clear();

  //! Whether there is any.
  bool active() const;
  //! Whether the node is a source of it.
  bool includes( size_t node ) const;
  //! The source's value at a time stamp in steps; 0 before and after the trial.
  float of( size_t node, std::int64_t step ) const;
  //! What the weight of a synapse is multiplied by: 1 for the spikes of other nodes.
  float factor( const nest::SpikeEvent& ) const;

private:
  size_t first_node_ = 0;
  size_t n_sources_ = 0;
  std::int64_t first_step_ = 0;
  std::int64_t n_steps_ = 0;
  std::vector< float > values_;
};

//! What all nodes of this process read; written between simulations alone.
extern AnalogInput analog_input;

//! Node id of the sender: events of a device carry it, for others NEST looks it up.
size_t sender_node_id( const nest::SpikeEvent& );

inline bool
AnalogInput::active() const
{
  return n_sources_ > 0;
}

inline bool
AnalogInput::includes( const size_t node ) const
{
  return node >= first_node_ and node - first_node_ < n_sources_;
}

} // namespace v1sim

#endif
