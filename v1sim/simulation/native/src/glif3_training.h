/*
 *  The GLIF3 neuron of the training code, step for step.
 *
 *  Equations: Chen, Scherr & Maass 2022, doi 10.1126/sciadv.abq7592, as the
 *  published TensorFlow cell computes them. With z the neuron's spike of the
 *  previous step and old values on the right-hand side, in each step of dt:
 *
 *    rise_c <- d_c rise_c + i_c e / tau_c          i_c: what arrives at receptor c in this step
 *    psc_c  <- d_c psc_c + dt d_c rise_c           d_c = exp(-dt / tau_c)
 *    asc_j  <- exp(-k_j dt) asc_j + z asc_amp_j
 *    r      <- max(0, r + z t_ref - dt)
 *    v      <- p v + q (sum_c psc_c + asc_1 + asc_2) + z (v_reset - v_th)
 *    spike where v > v_th and r = 0                p = exp(-dt g / C_m), q = (1 - p) / g
 *
 *  The reset is subtractive and comes one step after the spike; membrane and
 *  after-spike currents go on through the refractory period, which suppresses
 *  the spike alone. Voltages are relative to E_L and divided by V_th - E_L, as
 *  in training, so that float32 arithmetic rounds where training's does.
 */
#ifndef V1SIM_GLIF3_TRAINING_H
#define V1SIM_GLIF3_TRAINING_H

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "connection.h"
#include "event.h"
#include "nest_types.h"
#include "node.h"
#include "recordables_map.h"
#include "universal_data_logger.h"

namespace v1sim
{

constexpr size_t n_receptors = 4;

//! Parameters of a cell type in NEST's units.
struct Glif3Parameters
{
  double C_m = 58.72;      //!< pF
  double g = 9.43;         //!< nS
  double E_L = -78.85;     //!< mV
  double V_th = -51.68;    //!< mV
  double V_reset = -78.85; //!< mV
  double t_ref = 3.75;     //!< ms
  std::array< double, 2 > k = { 0.003, 0.1 };             //!< 1/ms
  std::array< double, 2 > asc_amps = { -9.18, -198.94 };  //!< pA
  std::array< double, n_receptors > tau_syn = { 5.5, 8.5, 2.8, 5.8 }; //!< ms

  bool operator==( const Glif3Parameters& ) const = default;
};

//! What one step needs; neurons of a cell type share one.
template < typename Real >
struct Glif3Constants
{
  Glif3Constants( const Glif3Parameters& p, double dt );

  Glif3Parameters parameters;
  double dt_ms;
  double scale_mv;     //!< V_th - E_L
  double inverse_scale;

  std::array< Real, n_receptors > syn_decay;
  std::array< Real, n_receptors > dt_syn_decay;
  std::array< Real, n_receptors > psc_initial;
  std::array< Real, 2 > asc_decay;
  std::array< Real, 2 > asc_amp;
  Real decay;
  Real current_factor;
  Real reset;          //!< v_reset - v_th, normalised
  Real t_ref;
  Real dt;
};

template < typename Real >
class Glif3Training : public nest::Node
{
public:
  Glif3Training();
  Glif3Training( const Glif3Training& );

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
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;

  friend class nest::RecordablesMap< Glif3Training >;
  friend class nest::UniversalDataLogger< Glif3Training >;

  double get_V_m_() const;
  double get_I_syn_() const;
  double get_ASCurrents_sum_() const;

  struct State
  {
    std::array< Real, n_receptors > rise {};
    std::array< Real, n_receptors > psc {};
    std::array< Real, 2 > asc {};
    Real v = 0;
    Real r = 0;
    Real z = 0;
  };

  State S_;
  std::shared_ptr< const Glif3Constants< Real > > C_;
  //! Input by step (ring) and receptor, normalised, n_receptors values a step.
  std::vector< Real > input_;
  nest::UniversalDataLogger< Glif3Training > logger_;

  static nest::RecordablesMap< Glif3Training > recordables_;
};

//! Spikes of all neurons of these models since they were last taken.
struct RecordedSpike
{
  std::uint32_t node;
  std::uint32_t step;  //!< NEST's step: its time stamp in steps
};

//! One list a thread.
std::vector< std::vector< RecordedSpike > >& recorded_spikes();

//! While true no neuron spikes: what is on its way arrives and nothing follows.
extern bool muted;

} // namespace v1sim

#endif
