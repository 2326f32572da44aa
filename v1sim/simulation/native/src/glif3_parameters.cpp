#include "glif3_parameters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "exceptions.h"
#include "nest_names.h"

namespace v1sim
{
namespace
{
//! Values of step_constants that do not belong to a receptor.
constexpr size_t n_constants_of_cell = 3 + 2 * n_after_spike_currents;
const std::string hard_reset_name = "hard_reset";

//! The constants that follow from the parameters, in float64.
std::vector< double >
exact_constants( const Glif3Parameters& p, const double dt_ms )
{
  const double scale_mv = p.V_th - p.E_L;
  const double decay = std::exp( -dt_ms * p.g / p.C_m );
  std::vector< double > c { decay, ( 1.0 - decay ) / p.g, ( p.V_reset - p.E_L ) / scale_mv - 1.0 };
  for ( const double tau : p.tau_syn )
  {
    c.push_back( std::exp( -dt_ms / tau ) );
  }
  for ( const double tau : p.tau_syn )
  {
    c.push_back( std::exp( 1.0 ) / tau );
  }
  for ( const double k : p.k )
  {
    c.push_back( std::exp( -dt_ms * k ) );
  }
  for ( const double amp : p.asc_amps )
  {
    c.push_back( amp / scale_mv );
  }
  return c;
}

//! The normalised v_reset where the other constants are given: as training computes it.
float
float32_start( const Glif3Parameters& p )
{
  const auto e_l = static_cast< float >( p.E_L );
  return ( static_cast< float >( p.V_reset ) - e_l ) / ( static_cast< float >( p.V_th ) - e_l );
}

bool
all_positive( const auto& values )
{
  return std::ranges::all_of( values, []( const double x ) { return x > 0 and std::isfinite( x ); } );
}
}

bool
update_pair( const Dictionary& d, const std::string& name, std::array< double, 2 >& values )
{
  std::vector< double > given;
  if ( not d.update_value( name, given ) )
  {
    return false;
  }
  if ( given.size() != values.size() )
  {
    throw nest::BadProperty( name + " needs " + std::to_string( values.size() ) + " values." );
  }
  std::ranges::copy( given, values.begin() );
  return true;
}

void
Glif3Parameters::set( const Dictionary& d )
{
  Glif3Parameters p = *this;
  d.update_value( nest::names::C_m, p.C_m );
  d.update_value( nest::names::g, p.g );
  d.update_value( nest::names::E_L, p.E_L );
  d.update_value( nest::names::V_th, p.V_th );
  d.update_value( nest::names::V_reset, p.V_reset );
  d.update_value( nest::names::t_ref, p.t_ref );
  d.update_value( nest::names::tau_syn, p.tau_syn );
  update_pair( d, nest::names::asc_decay, p.k );
  update_pair( d, nest::names::asc_amps, p.asc_amps );
  if ( not( p.C_m > 0 and p.g > 0 and p.t_ref >= 0 ) )
  {
    throw nest::BadProperty( "C_m and g must be > 0, t_ref >= 0." );
  }
  if ( not( p.V_th > p.E_L and p.V_reset < p.V_th ) )
  {
    throw nest::BadProperty( "V_th must be above E_L and V_reset." );
  }
  if ( not( all_positive( p.tau_syn ) and all_positive( p.k ) ) )
  {
    throw nest::BadProperty( "tau_syn and asc_decay must be > 0." );
  }
  if ( p.tau_syn.empty() )
  {
    throw nest::BadProperty( "tau_syn needs a value for each receptor, one at least." );
  }
  if ( p != *this )
  {
    p.step_constants.reset();
  }
  d.update_value( hard_reset_name, p.hard_reset ); // which no constant depends on
  if ( std::vector< double > given; d.update_value( std::string( "step_constants" ), given ) )
  {
    const size_t wanted = n_constants_of_cell + 2 * p.tau_syn.size();
    if ( given.size() != wanted )
    {
      throw nest::BadProperty( "step_constants needs " + std::to_string( wanted ) + " values for "
        + std::to_string( p.tau_syn.size() ) + " receptors." );
    }
    p.step_constants = std::move( given );
  }
  *this = std::move( p );
}

void
Glif3Parameters::get( Dictionary& d ) const
{
  d[ nest::names::C_m ] = C_m;
  d[ nest::names::g ] = g;
  d[ nest::names::E_L ] = E_L;
  d[ nest::names::V_th ] = V_th;
  d[ nest::names::V_reset ] = V_reset;
  d[ nest::names::t_ref ] = t_ref;
  d[ nest::names::asc_decay ] = std::vector< double >( k.begin(), k.end() );
  d[ nest::names::asc_amps ] = std::vector< double >( asc_amps.begin(), asc_amps.end() );
  d[ nest::names::tau_syn ] = tau_syn;
  d[ hard_reset_name ] = hard_reset;
}

Glif3Constants::Glif3Constants( const Glif3Parameters& p, const double dt_ms_ )
  : parameters( p )
  , dt_ms( dt_ms_ )
  , scale_mv( p.V_th - p.E_L )
  , inverse_scale( 1.0 / scale_mv )
  , syn_decay( p.tau_syn.size() )
  , psc_initial( p.tau_syn.size() )
{
  const std::vector< double > given = p.step_constants.value_or( exact_constants( p, dt_ms ) );
  auto next = given.begin();
  const auto take = [ &next ] { return *next++; };
  decay = take();
  current_factor = take();
  reset = take();
  std::ranges::generate( syn_decay, take );
  std::ranges::generate( psc_initial, take );
  std::ranges::generate( asc_decay, take );
  std::ranges::generate( asc_amp, take );
  start = p.step_constants ? float32_start( p ) : ( p.V_reset - p.E_L ) / scale_mv;
}

std::vector< double >
Glif3Constants::step_constants() const
{
  std::vector< double > c { decay, current_factor, reset };
  const auto append = [ &c ]( const auto& values ) { c.insert( c.end(), values.begin(), values.end() ); };
  append( syn_decay );
  append( psc_initial );
  append( asc_decay );
  append( asc_amp );
  return c;
}

} // namespace v1sim
