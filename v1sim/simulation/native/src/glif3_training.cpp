#include "glif3_training.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <mutex>

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

template < typename Real >
Glif3Constants< Real >::Glif3Constants( const Glif3Parameters& p, const double dt_ms_ )
  : parameters( p )
  , dt_ms( dt_ms_ )
  , scale_mv( p.V_th - p.E_L )
  , inverse_scale( 1.0 / scale_mv )
{
  for ( size_t c = 0; c < n_receptors; ++c )
  {
    syn_decay[ c ] = static_cast< Real >( std::exp( -dt_ms / p.tau_syn[ c ] ) );
    dt_syn_decay[ c ] = static_cast< Real >( dt_ms ) * syn_decay[ c ];
    psc_initial[ c ] = static_cast< Real >( std::exp( 1.0 ) / p.tau_syn[ c ] );
  }
  for ( size_t j = 0; j < 2; ++j )
  {
    asc_decay[ j ] = static_cast< Real >( std::exp( -dt_ms * p.k[ j ] ) );
    asc_amp[ j ] = static_cast< Real >( p.asc_amps[ j ] / scale_mv );
  }
  const double p33 = std::exp( -dt_ms * p.g / p.C_m );
  decay = static_cast< Real >( p33 );
  current_factor = static_cast< Real >( ( 1.0 - p33 ) / p.g );
  reset = static_cast< Real >( ( p.V_reset - p.E_L ) / scale_mv ) - Real( 1 );
  t_ref = static_cast< Real >( p.t_ref );
  dt = static_cast< Real >( dt_ms );
}

namespace
{
size_t
input_size()
{
  const auto& connections = nest::kernel().connection_manager;
  return ( connections.get_min_delay() + connections.get_max_delay() ) * n_receptors;
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
  S_.v = C_->reset + Real( 1 );
  std::fill( input_.begin(), input_.end(), Real( 0 ) );
}

template < typename Real >
void
Glif3Training< Real >::init_buffers_()
{
  input_.assign( input_size(), Real( 0 ) );
  logger_.reset();
}

template < typename Real >
void
Glif3Training< Real >::pre_run_hook()
{
  logger_.init();
  if ( C_->dt_ms != nest::Time::get_resolution().get_ms() )
  {
    C_ = shared_constants< Real >( C_->parameters );
  }
  if ( input_.size() != input_size() )
  {
    input_.assign( input_size(), Real( 0 ) );
  }
  if ( recorded_spikes().size() < static_cast< size_t >( nest::kernel().vp_manager.get_num_threads() ) )
  {
    throw nest::KernelException( "v1sim_prepare_recording() was not called for this number of threads" );
  }
}

template < typename Real >
void
Glif3Training< Real >::update( const nest::Time& origin, const long from, const long to )
{
  const Glif3Constants< Real >& c = *C_;
  for ( long lag = from; lag < to; ++lag )
  {
    const size_t slot = nest::kernel().event_delivery_manager.get_modulo( lag ) * n_receptors;
    Real* const input = input_.data() + slot;

    Real current = S_.psc[ 0 ] + S_.psc[ 1 ] + S_.psc[ 2 ] + S_.psc[ 3 ];
    for ( size_t i = 0; i < n_receptors; ++i )
    {
      S_.psc[ i ] = c.syn_decay[ i ] * S_.psc[ i ] + c.dt_syn_decay[ i ] * S_.rise[ i ];
      S_.rise[ i ] = c.syn_decay[ i ] * S_.rise[ i ] + input[ i ] * c.psc_initial[ i ];
      input[ i ] = Real( 0 );
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
  const size_t slot = e.get_rel_delivery_steps( nest::kernel().simulation_manager.get_slice_origin() );
  const size_t index = nest::kernel().event_delivery_manager.get_modulo( slot );
  input_[ index * n_receptors + e.get_rport() - 1 ] +=
    static_cast< Real >( e.get_weight() * e.get_multiplicity() * C_->inverse_scale );
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
  return C_->parameters.E_L + static_cast< double >( S_.v ) * C_->scale_mv;
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
  d[ nest::names::V_m ] = get_V_m_();
  d[ nest::names::ASCurrents ] =
    std::vector< double > { S_.asc[ 0 ] * C_->scale_mv, S_.asc[ 1 ] * C_->scale_mv };
  d[ nest::names::recordables ] = recordables_.get_list();
}

namespace
{
template < size_t n >
void
update_values( const Dictionary& d, const std::string& name, std::array< double, n >& values )
{
  std::vector< double > given;
  if ( not d.update_value( name, given ) )
  {
    return;
  }
  if ( given.size() != n )
  {
    throw nest::BadProperty( name + " needs " + std::to_string( n ) + " values." );
  }
  std::copy( given.begin(), given.end(), values.begin() );
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
  if ( p != C_->parameters )
  {
    C_ = shared_constants< Real >( p );
    S_.v = C_->reset + Real( 1 );
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
