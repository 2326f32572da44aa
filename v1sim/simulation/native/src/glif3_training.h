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
 *  in training.
 *
 *  Training holds d, p, q and the rest as float32, and computes them in float32.
 *  With "step_constants" they are taken as given; without, they follow from the
 *  parameters in float64. Setting any parameter later drops them, and starts
 *  the membrane at V_reset.
 *
 *  Glif3Training< float > rounds every operation where TensorFlow rounds it:
 *  operations in the order of the published cell, and what arrives in a step
 *  summed by source, recurrent input first, then LGN and background. NEST
 *  delivers spikes in another order, so arrivals are kept and sorted: this model
 *  is for comparisons bit by bit, the one in double for simulations.
 */
#ifndef V1SIM_GLIF3_TRAINING_H
#define V1SIM_GLIF3_TRAINING_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
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

//! Constants of a step: p, q, (v_reset - v_th), d_c, e / tau_c, exp(-k_j dt), asc_amp_j.
constexpr size_t n_step_constants = 3 + 2 * n_receptors + 4;
using StepConstants = std::array< double, n_step_constants >;

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
  std::optional< StepConstants > step_constants; //!< instead of those that follow from the others

  bool operator==( const Glif3Parameters& ) const = default;
};

//! What one step needs; neurons of a cell type share one.
template < typename Real >
struct Glif3Constants
{
  Glif3Constants( const Glif3Parameters& p, double dt );

  StepConstants step_constants() const;

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
  Real start;          //!< v_reset, normalised: not reset + 1, which is rounded twice
  Real t_ref;
  Real dt;
};

//! What arrives in each step of the ring, summed as it arrives.
template < typename Real >
class Input
{
public:
  size_t n_steps() const;
  void resize( size_t n_steps );
  void clear();
  //! A synapse's normalised weight times what came over it: 1 for a spike.
  void add( size_t step, size_t receptor, const nest::SpikeEvent&, double weight, float factor );
  //! The sums of a step, which is cleared.
  std::array< Real, n_receptors > take( size_t step );

private:
  std::vector< std::array< Real, n_receptors > > sums_;
};

//! The same in float32, summed in training's order.
template <>
class Input< float >
{
public:
  size_t n_steps() const;
  void resize( size_t n_steps );
  void clear();
  void add( size_t step, size_t receptor, const nest::SpikeEvent&, double weight, float factor );
  std::array< float, n_receptors > take( size_t step );

private:
  struct Arrival
  {
    std::uint64_t order;
    float weight;
  };
  std::vector< std::vector< Arrival > > arrivals_;
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
  Input< Real > input_;  //!< normalised
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

//! Place of each node, by node id, in training's order of summation; see v1sim_set_source_order().
std::vector< std::uint32_t >& source_order();

//! While true no neuron spikes: what is on its way arrives and nothing follows.
extern bool muted;

} // namespace v1sim

#endif
