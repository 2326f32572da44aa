/*
 *  A source of given spikes and a sink that records them.
 *
 *  SpikeSource is NEST's spike_train_injector without a Python dict for each of
 *  17,400 cells: all trains are handed over as arrays. It is also the source of
 *  analog input (analog_input.h). SpikeSink records what ordinary synapses bring it.
 */
#ifndef V1SIM_SPIKE_SOURCES_H
#define V1SIM_SPIKE_SOURCES_H

#include <cstdint>
#include <vector>

#include "event.h"
#include "nest_types.h"
#include "node.h"

namespace v1sim
{

//! Sends the spikes that it was last given, each in the step that its time stamp ends; or, where
//! there is analog input of it, a spike in each step in which that is not 0.
//!
//! The first source of a thread sends for all of them; the others are frozen, so that NEST
//! does not look at 17,400 nodes in every step.
class SpikeSource : public nest::Node
{
public:
  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;
  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  //! Send a spike in this step, which starts lag steps after the slice.
  void send( const nest::Time& origin, long lag );

private:
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;
  void set_initialized_() override;

  bool is_first_ = false;
  bool has_devices_ = false;
};

/**
 * Give sources first_node .. first_node + n_sources - 1 their spikes in place of earlier ones: source[ i ] of
 * them sends one with time stamp stamps[ i ] (in steps, ascending).
 */
void give_spikes( std::size_t first_node,
  std::size_t n_sources,
  const std::int32_t* source,
  const std::int64_t* stamps,
  std::size_t n_spikes );

//! Forget all sources: they are gone.
void forget_sources();

//! Records sender and time stamp of what reaches it; the delay does not matter.
class SpikeSink : public nest::Node
{
public:
  using nest::Node::handle;
  using nest::Node::handles_test_event;

  void handle( nest::SpikeEvent& ) override;
  size_t handles_test_event( nest::SpikeEvent&, size_t ) override;
  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

private:
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;
};

} // namespace v1sim

#endif
