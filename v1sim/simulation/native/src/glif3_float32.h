/*
 *  The GLIF3 neuron of the training code with every operation rounded where TensorFlow rounds it.
 *
 *  Equations in glif3_parameters.h. Operations are in the order of the published
 *  cell, and what arrives in a step is summed by source, recurrent input first, then
 *  LGN and background. NEST delivers spikes in another order, so arrivals are kept
 *  and sorted: this model is for comparisons bit by bit, the one of glif3.h for
 *  simulations. It has the four receptors of training.
 */
#ifndef V1SIM_GLIF3_FLOAT32_H
#define V1SIM_GLIF3_FLOAT32_H

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "connection.h"
#include "event.h"
#include "glif3_parameters.h"
#include "nest_types.h"
#include "node.h"
#include "recordables_map.h"
#include "universal_data_logger.h"

namespace v1sim
{

constexpr size_t n_training_receptors = 4;

//! What arrives in each step of the ring, summed in training's order.
class Arrivals
{
public:
  size_t n_steps() const;
  void resize( size_t n_steps );
  void clear();
  //! A synapse's normalised weight times what came over it: 1 for a spike.
  void add( size_t step, size_t receptor, const nest::SpikeEvent&, double weight, float factor );
  //! The sums of a step, which is cleared.
  std::array< float, n_training_receptors > take( size_t step );

private:
  struct Arrival
  {
    std::uint64_t order;
    float weight;
  };
  std::vector< std::vector< Arrival > > arrivals_;
};

class Glif3Float32 : public nest::Node
{
public:
  Glif3Float32();
  Glif3Float32( const Glif3Float32& );

  using nest::Node::handle;
  using nest::Node::handles_test_event;

  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;
  void handle( nest::SpikeEvent& ) override;
  void handle( nest::DataLoggingRequest& ) override;
  size_t handles_test_event( nest::SpikeEvent&, size_t ) override;
  size_t handles_test_event( nest::DataLoggingRequest&, size_t ) override;

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  //! State and input as after creation; spikes on their way are the caller's business.
  void reset_state();

private:
  struct Constants : Glif3Constants
  {
    Constants( const Glif3Parameters& p, double dt );

    struct Rounded
    {
      std::array< float, n_training_receptors > syn_decay;
      std::array< float, n_training_receptors > dt_syn_decay;
      std::array< float, n_training_receptors > psc_initial;
      std::array< float, n_after_spike_currents > asc_decay;
      std::array< float, n_after_spike_currents > asc_amp;
      float decay;
      float current_factor;
      float reset;
      float t_ref;
      float dt;
    } rounded;
  };

  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;

  friend class nest::RecordablesMap< Glif3Float32 >;
  friend class nest::UniversalDataLogger< Glif3Float32 >;

  double get_V_m_() const;
  double get_I_syn_() const;
  double get_ASCurrents_sum_() const;

  struct State
  {
    std::array< float, n_training_receptors > rise {};
    std::array< float, n_training_receptors > psc {};
    std::array< float, n_after_spike_currents > asc {};
    float v = 0;
    float r = 0;
    float z = 0;
  };

  State S_;
  std::shared_ptr< const Constants > C_;
  Arrivals input_;  //!< normalised
  nest::UniversalDataLogger< Glif3Float32 > logger_;

  static nest::RecordablesMap< Glif3Float32 > recordables_;
};

//! Place of each node, by node id, in training's order of summation; see v1sim_set_source_order().
std::vector< std::uint32_t >& source_order();

} // namespace v1sim

#endif
