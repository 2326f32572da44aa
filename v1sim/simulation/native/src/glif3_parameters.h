/*
 *  Parameters and constants of the GLIF3 neuron of the training code.
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
 *  With "hard_reset" in addition, before the comparison with v_th,
 *
 *    v      <- v_reset where r > 0
 *
 *  The reset is subtractive and comes one step after the spike; membrane and
 *  after-spike currents go on through the refractory period, which suppresses
 *  the spike alone; with the hard reset the membrane is held at V_reset meanwhile. Voltages
 *  are relative to E_L and divided by V_th - E_L, as in training.
 *
 *  Training holds d, p, q and the rest as float32. With "step_constants" they are
 *  taken as given; without, they follow from the parameters in float64. Setting any
 *  parameter later drops them, and starts the membrane at V_reset.
 */
#ifndef V1SIM_GLIF3_PARAMETERS_H
#define V1SIM_GLIF3_PARAMETERS_H

#include <array>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dictionary.h"
#include "nest_time.h"

namespace v1sim
{

constexpr std::size_t n_after_spike_currents = 2;

//! Parameters of a cell type in NEST's units. It has as many receptors as tau_syn has values.
struct Glif3Parameters
{
  double C_m = 58.72;      //!< pF
  double g = 9.43;         //!< nS
  double E_L = -78.85;     //!< mV
  double V_th = -51.68;    //!< mV
  double V_reset = -78.85; //!< mV
  double t_ref = 3.75;     //!< ms
  std::array< double, n_after_spike_currents > k = { 0.003, 0.1 };            //!< 1/ms
  std::array< double, n_after_spike_currents > asc_amps = { -9.18, -198.94 }; //!< pA
  std::vector< double > tau_syn = { 5.5, 8.5, 2.8, 5.8 };                     //!< ms
  /**
   * Instead of those that follow from the others: p, q, v_reset - v_th, then d_c and e / tau_c of each
   * receptor, exp(-k_j dt) and asc_amp_j.
   */
  std::optional< std::vector< double > > step_constants;
  bool hard_reset = false;

  bool operator==( const Glif3Parameters& ) const = default;

  //! Take what the dictionary gives; throws nest::BadProperty, and then leaves the parameters as they were.
  void set( const Dictionary& );
  void get( Dictionary& ) const;
};

//! What one step needs; neurons of a cell type share one.
struct Glif3Constants
{
  Glif3Constants( const Glif3Parameters&, double dt_ms );

  std::size_t n_receptors() const;
  std::vector< double > step_constants() const;

  Glif3Parameters parameters;
  double dt_ms;
  double scale_mv;     //!< V_th - E_L
  double inverse_scale;

  double decay;
  double current_factor;
  double reset;        //!< v_reset - v_th, normalised
  double start;        //!< v_reset, normalised: not reset + 1, which is rounded twice; where a hard reset holds v
  std::vector< double > syn_decay;
  std::vector< double > psc_initial;
  std::array< double, n_after_spike_currents > asc_decay;
  std::array< double, n_after_spike_currents > asc_amp;
};

//! The one set of constants of these parameters for the kernel's resolution: neurons of a type share it.
template < typename Constants >
std::shared_ptr< const Constants >
shared_constants( const Glif3Parameters& p )
{
  static std::mutex mutex;
  static std::list< std::weak_ptr< const Constants > > known;
  const double dt_ms = nest::Time::get_resolution().get_ms();
  const std::lock_guard< std::mutex > lock( mutex );
  for ( auto it = known.begin(); it != known.end(); )
  {
    const auto constants = it->lock();
    if ( not constants )
    {
      it = known.erase( it );
      continue;
    }
    if ( constants->dt_ms == dt_ms and constants->parameters == p )
    {
      known.splice( known.begin(), known, it ); // a type's neurons come one after the other
      return constants;
    }
    ++it;
  }
  const auto constants = std::make_shared< const Constants >( p, dt_ms );
  known.push_front( constants );
  return constants;
}

//! The two values that the dictionary gives under a name; false where it gives none.
bool update_pair( const Dictionary&, const std::string& name, std::array< double, 2 >& );

inline std::size_t
Glif3Constants::n_receptors() const
{
  return syn_decay.size();
}

} // namespace v1sim

#endif
