/*
 *  The GLIF3 neuron of the training code with every operation rounded where TensorFlow rounds it.
 *
 *  Equations in glif3_parameters.h. Operations are in the order of the training code, and what
 *  arrives in a step is summed as it does: group by group of sources (SummationOrder). NEST
 *  delivers spikes in another order, so arrivals are kept and sorted: this model is for
 *  comparisons bit by bit, the one of glif3.h for simulations.
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

/*
 *  How training adds up. Sources are in groups: the network's own neurons, then each
 *  population outside of it. Each group has a sum; the sum of the network's own is added to
 *  that of all others.
 */
struct SummationOrder
{
  //! Bits of a place that say which group it belongs to, above those of the place within it.
  static constexpr int group_bits = 6, source_bits = 26;
  //! Place of each source by node id.
  std::vector< std::uint32_t > place;
  //! Whether a group is added up by delay, then source, as DPointNet does; else by source, then delay.
  bool delay_first = false;
  //! Whether after-spike currents are added to each other first, as DPointNet does.
  bool currents_apart = false;
};
SummationOrder& summation_order();

//! What arrives in each step of the ring, summed in training's order.
class Arrivals
{
public:
  size_t n_steps() const;
  void resize( size_t n_steps );
  void clear();
  //! A synapse's normalised weight times what came over it: 1 for a spike.
  void add( size_t step, size_t receptor, const nest::SpikeEvent&, double weight, float factor );
  //! The sums of a step by receptor, which is cleared.
  void take( size_t step, std::vector< float >& sums );

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
      std::vector< float > syn_decay;
      std::vector< float > dt_syn_decay;
      std::vector< float > psc_initial;
      std::array< float, n_after_spike_currents > asc_decay;
      std::array< float, n_after_spike_currents > asc_amp;
      float decay;
      float current_factor;
      float reset;
      float start;
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
    std::vector< float > rise;
    std::vector< float > psc;
    std::array< float, n_after_spike_currents > asc {};
    float v = 0;
    float r = 0;
    float z = 0;
  };

  void make_room_for_receptors();

  bool has_synapses_ = false;
  State S_;
  std::shared_ptr< const Constants > C_;
  Arrivals input_;  //!< normalised
  nest::UniversalDataLogger< Glif3Float32 > logger_;

  static nest::RecordablesMap< Glif3Float32 > recordables_;
};

} // namespace v1sim

#endif
