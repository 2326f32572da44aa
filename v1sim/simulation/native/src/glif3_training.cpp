#include "glif3_training.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <mutex>
#include <utility>

#include "analog_input.h"
#include "dictionary.h"
#include "exceptions.h"
#include "kernel_manager.h"
#include "nest_impl.h"
#include "nest_names.h"
#include "universal_data_logger_impl.h"

namespace nest
{
template <>
void
RecordablesMap< v1sim::Glif3Training< double > >::create()
{
  insert_( names::V_m, &v1sim::Glif3Training< double >::get_V_m_ );
  insert_( names::I_syn, &v1sim::Glif3Training< double >::get_I_syn_ );
  insert_( names::ASCurrents_sum, &v1sim::Glif3Training< double >::get_ASCurrents_sum_ );
}

template <>
void
RecordablesMap< v1sim::Glif3Training< float > >::create()
{
  insert_( names::V_m, &v1sim::Glif3Training< float >::get_V_m_ );
  insert_( names::I_syn, &v1sim::Glif3Training< float >::get_I_syn_ );
  insert_( names::ASCurrents_sum, &v1sim::Glif3Training< float >::get_ASCurrents_sum_ );
}
}

namespace v1sim
{

bool muted = false;

std::vector< std::vector< RecordedSpike > >&
recorded_spikes()
{
  static std::vector< std::vector< RecordedSpike > > spikes;
  return spikes;
}

std::vector< std::uint32_t >&
source_order()
{
  static std::vector< std::uint32_t > order;
  return order;
}

namespace
{
//! The constants that follow from the parameters, in float64.
StepConstants
exact_constants( const Glif3Parameters& p, const double dt_ms )
{
  const double scale_mv = p.V_th - p.E_L;
  const double decay = std::exp( -dt_ms * p.g / p.C_m );
  StepConstants c { decay, ( 1.0 - decay ) / p.g, ( p.V_reset - p.E_L ) / scale_mv - 1.0 };
  for ( size_t i = 0; i < n_receptors; ++i )
  {
    c[ 3 + i ] = std::exp( -dt_ms / p.tau_syn[ i ] );
    c[ 3 + n_receptors + i ] = std::exp( 1.0 ) / p.tau_syn[ i ];
  }
  for ( size_t j = 0; j < 2; ++j )
  {
    c[ 3 + 2 * n_receptors + j ] = std::exp( -dt_ms * p.k[ j ] );
    c[ 5 + 2 * n_receptors + j ] = p.asc_amps[ j ] / scale_mv;
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
}

template < typename Real >
Glif3Constants< Real >::Glif3Constants( const Glif3Parameters& p, const double dt_ms_ )
  : parameters( p )
  , dt_ms( dt_ms_ )
  , scale_mv( p.V_th - p.E_L )
  , inverse_scale( 1.0 / scale_mv )
{
  const StepConstants given = p.step_constants.value_or( exact_constants( p, dt_ms ) );
  auto next = given.begin();
  const auto take = [ &next ] { return static_cast< Real >( *next++ ); };
  decay = take();
  current_factor = take();
  reset = take();
  std::ranges::generate( syn_decay, take );
  std::ranges::generate( psc_initial, take );
  std::ranges::generate( asc_decay, take );
  std::ranges::generate( asc_amp, take );
  start = static_cast< Real >( p.step_constants ? float32_start( p ) : ( p.V_reset - p.E_L ) / scale_mv );
  t_ref = static_cast< Real >( p.t_ref );
  dt = static_cast< Real >( dt_ms );
  std::ranges::transform( syn_decay, dt_syn_decay.begin(), [ this ]( const Real d ) { return dt * d; } );
}

template < typename Real >
StepConstants
Glif3Constants< Real >::step_constants() const
{
  StepConstants c { decay, current_factor, reset };
  auto out = std::ranges::copy( syn_decay, c.begin() + 3 ).out;
  out = std::ranges::copy( psc_initial, out ).out;
  out = std::ranges::copy( asc_decay, out ).out;
  std::ranges::copy( asc_amp, out );
  return c;
}

template < typename Real >
size_t
Input< Real >::n_steps() const
{
  return sums_.size();
}

template < typename Real >
void
Input< Real >::resize( const size_t n_steps )
{
  sums_.assign( n_steps, {} );
}

template < typename Real >
void
Input< Real >::clear()
{
  std::ranges::fill( sums_, std::array< Real, n_receptors > {} );
}

template < typename Real >
void
Input< Real >::add( const size_t step,
  const size_t receptor,
  const nest::SpikeEvent&,
  const double weight,
  const float factor )
{
  sums_[ step ][ receptor ] += static_cast< Real >( weight ) * factor;
}

template < typename Real >
std::array< Real, n_receptors >
Input< Real >::take( const size_t step )
{
  return std::exchange( sums_[ step ], {} );
}

size_t
Input< float >::n_steps() const
{
  return arrivals_.size();
}

void
Input< float >::resize( const size_t n_steps )
{
  arrivals_.assign( n_steps, {} );
}

void
Input< float >::clear()
{
  for ( auto& arrivals : arrivals_ )
  {
    arrivals.clear();
  }
}

namespace
{
//! Bits of a source's order that say which of the three sums it belongs to.
constexpr int group_shift = 30;
constexpr size_t n_groups = 3;
//! An arrival's order: receptor, then the source's order, then the delay.
constexpr int delay_bits = 16;
}

void
Input< float >::add( const size_t step,
  const size_t receptor,
  const nest::SpikeEvent& e,
  const double weight,
  const float factor )
{
  const size_t node = sender_node_id( e );
  const auto& order = source_order();
  const std::uint64_t source = node < order.size() ? order[ node ] : 0;
  const std::uint64_t place = ( receptor << 32 | source ) << delay_bits | e.get_delay_steps();
  arrivals_[ step ].push_back( { place, static_cast< float >( weight ) * factor } );
}

std::array< float, n_receptors >
Input< float >::take( const size_t step )
{
  auto& arrivals = arrivals_[ step ];
  std::ranges::sort( arrivals, {}, &Arrival::order );
  std::array< std::array< float, n_groups >, n_receptors > sums {};
  for ( const auto& [ order, weight ] : arrivals )
  {
    const size_t group = order >> ( group_shift + delay_bits ) & 3;
    sums[ order >> ( 32 + delay_bits ) ][ std::min( group, n_groups - 1 ) ] += weight;
  }
  arrivals.clear();
  std::array< float, n_receptors > total;
  for ( size_t i = 0; i < n_receptors; ++i )
  {
    const auto& [ recurrent, lgn, background ] = sums[ i ];
    total[ i ] = recurrent + ( lgn + background );
  }
  return total;
}

namespace
{
//! Steps that may be on their way to a neuron.
size_t
input_steps()
{
  const auto& connections = nest::kernel().connection_manager;
  return connections.get_min_delay() + connections.get_max_delay();
}

//! The one set of constants of these parameters: neurons of a type share it.
template < typename Real >
std::shared_ptr< const Glif3Constants< Real > >
shared_constants( const Glif3Parameters& p )
{
  static std::mutex mutex;
  static std::list< std::weak_ptr< const Glif3Constants< Real > > > known;
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
  const auto constants = std::make_shared< const Glif3Constants< Real > >( p, dt_ms );
  known.push_front( constants );
  return constants;
}
}

template < typename Real >
nest::RecordablesMap< Glif3Training< Real > > Glif3Training< Real >::recordables_;

template < typename Real >
Glif3Training< Real >::Glif3Training()
  : C_( shared_constants< Real >( Glif3Parameters() ) )
  , logger_( *this )
{
  recordables_.create();
  reset_state();
}

template < typename Real >
Glif3Training< Real >::Glif3Training( const Glif3Training& other )
  : nest::Node( other )
  , S_( other.S_ )
  , C_( other.C_ )
  , logger_( *this )
{
}

template < typename Real >
void
Glif3Training< Real >::reset_state()
{
  S_ = State();
  S_.v = C_->start;
  input_.clear();
}

template < typename Real >
void
Glif3Training< Real >::init_buffers_()
{
  input_.resize( input_steps() );
  logger_.reset();
}

template < typename Real >
void
Glif3Training< Real >::pre_run_hook()
{
  logger_.init();
  if ( C_->dt_ms != nest::Time::get_resolution().get_ms() )
  {
    Glif3Parameters p = C_->parameters;
    p.step_constants.reset(); // they were those of another step
    C_ = shared_constants< Real >( p );
  }
  if ( input_.n_steps() != input_steps() )
  {
    input_.resize( input_steps() );
  }
  if ( get_node_id() > std::numeric_limits< decltype( RecordedSpike::node ) >::max() )
  {
    throw nest::KernelException( "v1sim records node ids of 32 bits" );
  }
  if ( recorded_spikes().size() < static_cast< size_t >( nest::kernel().vp_manager.get_num_threads() ) )
  {
    throw nest::KernelException( "v1sim_prepare() was not called for this number of threads" );
  }
}

template < typename Real >
void
Glif3Training< Real >::update( const nest::Time& origin, const long from, const long to )
{
  const Glif3Constants< Real >& c = *C_;
  for ( long lag = from; lag < to; ++lag )
  {
    const auto input = input_.take( nest::kernel().event_delivery_manager.get_modulo( lag ) );

    Real current = S_.psc[ 0 ] + S_.psc[ 1 ] + S_.psc[ 2 ] + S_.psc[ 3 ];
    for ( size_t i = 0; i < n_receptors; ++i )
    {
      S_.psc[ i ] = c.syn_decay[ i ] * S_.psc[ i ] + c.dt_syn_decay[ i ] * S_.rise[ i ];
      S_.rise[ i ] = c.syn_decay[ i ] * S_.rise[ i ] + input[ i ] * c.psc_initial[ i ];
    }
    current += S_.asc[ 0 ];
    current += S_.asc[ 1 ];
    S_.asc[ 0 ] = c.asc_decay[ 0 ] * S_.asc[ 0 ] + S_.z * c.asc_amp[ 0 ];
    S_.asc[ 1 ] = c.asc_decay[ 1 ] * S_.asc[ 1 ] + S_.z * c.asc_amp[ 1 ];
    S_.r = std::max( Real( 0 ), S_.r + S_.z * c.t_ref - c.dt );
    S_.v = c.decay * S_.v + c.current_factor * current + S_.z * c.reset;

    S_.z = Real( 0 );
    if ( S_.v > Real( 1 ) and S_.r <= Real( 0 ) and not muted )
    {
      S_.z = Real( 1 );
      nest::SpikeEvent event;
      nest::kernel().event_delivery_manager.send( *this, event, lag );
      recorded_spikes()[ get_thread() ].push_back(
        { static_cast< std::uint32_t >( get_node_id() ), static_cast< std::uint32_t >( origin.get_steps() + lag + 1 ) } );
    }
    logger_.record_data( origin.get_steps() + lag );
  }
}

template < typename Real >
void
Glif3Training< Real >::handle( nest::SpikeEvent& e )
{
  const size_t steps = e.get_rel_delivery_steps( nest::kernel().simulation_manager.get_slice_origin() );
  input_.add( nest::kernel().event_delivery_manager.get_modulo( steps ),
    e.get_rport() - 1,
    e,
    e.get_weight() * e.get_multiplicity() * C_->inverse_scale,
    analog_input.active() ? analog_input.factor( e ) : 1.0f );
}

template < typename Real >
void
Glif3Training< Real >::handle( nest::DataLoggingRequest& e )
{
  logger_.handle( e );
}

template < typename Real >
size_t
Glif3Training< Real >::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

template < typename Real >
size_t
Glif3Training< Real >::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type < 1 or receptor_type > n_receptors )
  {
    throw nest::IncompatibleReceptorType( receptor_type, get_name(), "SpikeEvent" );
  }
  return receptor_type;
}

template < typename Real >
size_t
Glif3Training< Real >::handles_test_event( nest::DataLoggingRequest& dlr, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return logger_.connect_logging_device( dlr, recordables_ );
}

template < typename Real >
double
Glif3Training< Real >::get_V_m_() const
{
  return S_.v * static_cast< Real >( C_->scale_mv ) + static_cast< Real >( C_->parameters.E_L );
}

template < typename Real >
double
Glif3Training< Real >::get_I_syn_() const
{
  return ( static_cast< double >( S_.psc[ 0 ] ) + S_.psc[ 1 ] + S_.psc[ 2 ] + S_.psc[ 3 ] ) * C_->scale_mv;
}

template < typename Real >
double
Glif3Training< Real >::get_ASCurrents_sum_() const
{
  return ( static_cast< double >( S_.asc[ 0 ] ) + S_.asc[ 1 ] ) * C_->scale_mv;
}

template < typename Real >
void
Glif3Training< Real >::get_status( Dictionary& d ) const
{
  const Glif3Parameters& p = C_->parameters;
  d[ nest::names::C_m ] = p.C_m;
  d[ nest::names::g ] = p.g;
  d[ nest::names::E_L ] = p.E_L;
  d[ nest::names::V_th ] = p.V_th;
  d[ nest::names::V_reset ] = p.V_reset;
  d[ nest::names::t_ref ] = p.t_ref;
  d[ nest::names::asc_decay ] = std::vector< double >( p.k.begin(), p.k.end() );
  d[ nest::names::asc_amps ] = std::vector< double >( p.asc_amps.begin(), p.asc_amps.end() );
  d[ nest::names::tau_syn ] = std::vector< double >( p.tau_syn.begin(), p.tau_syn.end() );
  const StepConstants constants = C_->step_constants();
  d[ "step_constants" ] = std::vector< double >( constants.begin(), constants.end() );
  d[ nest::names::V_m ] = get_V_m_();
  d[ nest::names::ASCurrents ] =
    std::vector< double > { S_.asc[ 0 ] * C_->scale_mv, S_.asc[ 1 ] * C_->scale_mv };
  d[ nest::names::recordables ] = recordables_.get_list();
}

namespace
{
template < size_t n >
bool
update_values( const Dictionary& d, const std::string& name, std::array< double, n >& values )
{
  std::vector< double > given;
  if ( not d.update_value( name, given ) )
  {
    return false;
  }
  if ( given.size() != n )
  {
    throw nest::BadProperty( name + " needs " + std::to_string( n ) + " values." );
  }
  std::ranges::copy( given, values.begin() );
  return true;
}
}

template < typename Real >
void
Glif3Training< Real >::set_status( const Dictionary& d )
{
  Glif3Parameters p = C_->parameters;
  d.update_value( nest::names::C_m, p.C_m );
  d.update_value( nest::names::g, p.g );
  d.update_value( nest::names::E_L, p.E_L );
  d.update_value( nest::names::V_th, p.V_th );
  d.update_value( nest::names::V_reset, p.V_reset );
  d.update_value( nest::names::t_ref, p.t_ref );
  update_values( d, nest::names::asc_decay, p.k );
  update_values( d, nest::names::asc_amps, p.asc_amps );
  update_values( d, nest::names::tau_syn, p.tau_syn );
  if ( not( p.C_m > 0 and p.g > 0 and p.t_ref >= 0 ) )
  {
    throw nest::BadProperty( "C_m and g must be > 0, t_ref >= 0." );
  }
  if ( not( p.V_th > p.E_L and p.V_reset < p.V_th ) )
  {
    throw nest::BadProperty( "V_th must be above E_L and V_reset." );
  }
  if ( not( std::ranges::all_of( p.tau_syn, []( double t ) { return t > 0; } )
         and std::ranges::all_of( p.k, []( double k ) { return k > 0; } ) ) )
  {
    throw nest::BadProperty( "tau_syn and asc_decay must be > 0." );
  }
  if ( StepConstants constants; update_values( d, "step_constants", constants ) )
  {
    p.step_constants = constants;
  }
  else if ( p != C_->parameters )
  {
    p.step_constants.reset();
  }
  if ( p != C_->parameters )
  {
    C_ = shared_constants< Real >( p );
    S_.v = C_->start;
  }
  double V_m = get_V_m_();
  if ( d.update_value( nest::names::V_m, V_m ) )
  {
    S_.v = static_cast< Real >( ( V_m - p.E_L ) * C_->inverse_scale );
  }
  std::array< double, 2 > asc { S_.asc[ 0 ] * C_->scale_mv, S_.asc[ 1 ] * C_->scale_mv };
  update_values( d, nest::names::ASCurrents, asc );
  S_.asc = { static_cast< Real >( asc[ 0 ] * C_->inverse_scale ), static_cast< Real >( asc[ 1 ] * C_->inverse_scale ) };
}

template class Glif3Training< double >;
template class Glif3Training< float >;

} // namespace v1sim
