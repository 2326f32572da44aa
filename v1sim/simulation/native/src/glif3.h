/*
 *  The GLIF3 neuron of the training code, for simulations; equations in glif3_parameters.h.
 *
 *  A node holds its cell type's constants and its index in the hub of its thread (hub.h),
 *  which has its state and updates it. It therefore is frozen for NEST, all but the first
 *  of a thread, which updates all.
 */
#ifndef V1SIM_GLIF3_H
#define V1SIM_GLIF3_H

#include <array>
#include <cstdint>
#include <memory>

#include "event.h"
#include "glif3_parameters.h"
#include "hub.h"
#include "nest_types.h"
#include "node.h"
#include "recordables_map.h"
#include "universal_data_logger.h"

namespace v1sim
{

template < typename Real >
class Glif3 : public nest::Node
{
public:
  Glif3();
  Glif3( const Glif3& );

  using nest::Node::handle;
  using nest::Node::handles_test_event;

  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;
  void handle( nest::SpikeEvent& ) override;
  void handle( nest::DataLoggingRequest& ) override;
  size_t handles_test_event( nest::SpikeEvent&, size_t ) override;
  size_t handles_test_event( nest::DataLoggingRequest&, size_t ) override;

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  const Glif3Constants& constants() const { return *C_; }
  //! Its index in the hub of its thread.
  std::uint32_t index() const { return index_; }
  //! A compact synapse leads here: V_th - E_L stays.
  void has_synapse() { has_synapses_ = true; }
  //! Tell the multimeters of a step.
  void record( long step );

  //! NEST's last call of a run.
  void update_synaptic_elements( double ) override;

private:
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;
  void set_initialized_() override;

  friend class nest::RecordablesMap< Glif3 >;
  friend class nest::UniversalDataLogger< Glif3 >;

  bool is_in_hub() const { return index_ != no_index; }
  Hub< Real >& hub_() const;
  Real v_() const;
  std::array< double, n_after_spike_currents > asc_pa_() const;

  double get_V_m_() const;
  double get_I_syn_() const;
  double get_ASCurrents_sum_() const;

  static constexpr std::uint32_t no_index = ~0u;

  std::uint32_t index_ = no_index;
  bool has_synapses_ = false;
  std::shared_ptr< const Glif3Constants > C_;
  //! What it starts with when it is made: a model's defaults, which are in no hub.
  Real start_v_ = 0;
  std::array< Real, n_after_spike_currents > start_asc_ {};
  //! Only where a multimeter is connected.
  std::unique_ptr< nest::UniversalDataLogger< Glif3 > > logger_;

  static nest::RecordablesMap< Glif3 > recordables_;
};

} // namespace v1sim

#endif
