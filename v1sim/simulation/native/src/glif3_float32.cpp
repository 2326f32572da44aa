#include "glif3_float32.h"

#include <algorithm>

#include "analog_input.h"
#include "dictionary.h"
#include "event_delivery_manager_impl.h"
#include "exceptions.h"
#include "kernel_manager.h"
#include "nest_names.h"
#include "spike_record.h"
#include "universal_data_logger_impl.h"

namespace nest
{
template <>
void
RecordablesMap< v1sim::Glif3Float32 >::create()
{
  insert_( names::V_m, &v1sim::Glif3Float32::get_V_m_ );
  insert_( names::I_syn, &v1sim::Glif3Float32::get_I_syn_ );
  insert_( names::ASCurrents_sum, &v1sim::Glif3Float32::get_ASCurrents_sum_ );
}
}

namespace v1sim
{

std::vector< std::uint32_t >&
source_order()
{
  static std::vector< std::uint32_t > order;
  return order;
}

Glif3Float32::Constants::Constants( const Glif3Parameters& p, const double dt )
  : Glif3Constants( p, dt )
{
  if ( n_receptors() != n_training_receptors )
  {
    throw nest::BadProperty( "glif3_training_float32 has four receptors: tau_syn needs 4 values." );
  }
  const auto round = []( const double x ) { return static_cast< float >( x ); };
  std::ranges::transform( syn_decay, rounded.syn_decay.begin(), round );
  std::ranges::transform( psc_initial, rounded.psc_initial.begin(), round );
  std::ranges::transform( asc_decay, rounded.asc_decay.begin(), round );
  std::ranges::transform( asc_amp, rounded.asc_amp.begin(), round );
  rounded.decay = round( decay );
  rounded.current_factor = round( current_factor );
  rounded.reset = round( reset );
  rounded.t_ref = round( p.t_ref );
  rounded.dt = round( dt_ms );
  std::ranges::transform(
    rounded.syn_decay, rounded.dt_syn_decay.begin(), [ this ]( const float d ) { return rounded.dt * d; } );
}

size_t
Arrivals::n_steps() const
{
  return arrivals_.size();
}

void
Arrivals::resize( const size_t n_steps )
{
  arrivals_.assign( n_steps, {} );
}

void
Arrivals::clear()
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
Arrivals::add( const size_t step,
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

std::array< float, n_training_receptors >
Arrivals::take( const size_t step )
{
  auto& arrivals = arrivals_[ step ];
  std::ranges::sort( arrivals, {}, &Arrival::order );
  std::array< std::array< float, n_groups >, n_training_receptors > sums {};
  for ( const auto& [ order, weight ] : arrivals )
  {
    const size_t group = order >> ( group_shift + delay_bits ) & 3;
    sums[ order >> ( 32 + delay_bits ) ][ std::min( group, n_groups - 1 ) ] += weight;
  }
  arrivals.clear();
  std::array< float, n_training_receptors > total;
  for ( size_t i = 0; i < n_training_receptors; ++i )
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
}

nest::RecordablesMap< Glif3Float32 > Glif3Float32::recordables_;

Glif3Float32::Glif3Float32()
  : C_( shared_constants< Constants >( Glif3Parameters() ) )
  , logger_( *this )
{
  recordables_.create();
  reset_state();
}

Glif3Float32::Glif3Float32( const Glif3Float32& other )
  : nest::Node( other )
  , S_( other.S_ )
  , C_( other.C_ )
  , logger_( *this )
{
}

void
Glif3Float32::reset_state()
{
  S_ = State();
  S_.v = static_cast< float >( C_->start );
  input_.clear();
}

void
Glif3Float32::init_buffers_()
{
  input_.resize( input_steps() );
  logger_.reset();
}

void
Glif3Float32::pre_run_hook()
{
  logger_.init();
  if ( C_->dt_ms != nest::Time::get_resolution().get_ms() )
  {
    Glif3Parameters p = C_->parameters;
    p.step_constants.reset(); // they were those of another step
    C_ = shared_constants< Constants >( p );
  }
  if ( input_.n_steps() != input_steps() )
  {
    input_.resize( input_steps() );
  }
  assert_spikes_can_be_recorded( get_node_id() );
}

void
Glif3Float32::update( const nest::Time& origin, const long from, const long to )
{
  const Constants::Rounded& c = C_->rounded;
  for ( long lag = from; lag < to; ++lag )
  {
    const auto input = input_.take( nest::kernel().event_delivery_manager.get_modulo( lag ) );

    float current = S_.psc[ 0 ] + S_.psc[ 1 ] + S_.psc[ 2 ] + S_.psc[ 3 ];
    for ( size_t i = 0; i < n_training_receptors; ++i )
    {
      S_.psc[ i ] = c.syn_decay[ i ] * S_.psc[ i ] + c.dt_syn_decay[ i ] * S_.rise[ i ];
      S_.rise[ i ] = c.syn_decay[ i ] * S_.rise[ i ] + input[ i ] * c.psc_initial[ i ];
    }
    current += S_.asc[ 0 ];
    current += S_.asc[ 1 ];
    S_.asc[ 0 ] = c.asc_decay[ 0 ] * S_.asc[ 0 ] + S_.z * c.asc_amp[ 0 ];
    S_.asc[ 1 ] = c.asc_decay[ 1 ] * S_.asc[ 1 ] + S_.z * c.asc_amp[ 1 ];
    S_.r = std::max( float( 0 ), S_.r + S_.z * c.t_ref - c.dt );
    S_.v = c.decay * S_.v + c.current_factor * current + S_.z * c.reset;

    S_.z = float( 0 );
    if ( S_.v > float( 1 ) and S_.r <= float( 0 ) and not muted )
    {
      S_.z = float( 1 );
      nest::SpikeEvent event;
      nest::kernel().event_delivery_manager.send( *this, event, lag );
      recorded_spikes()[ get_thread() ].push_back(
        { static_cast< std::uint32_t >( get_node_id() ), static_cast< std::uint32_t >( origin.get_steps() + lag + 1 ) } );
    }
    logger_.record_data( origin.get_steps() + lag );
  }
}

void
Glif3Float32::handle( nest::SpikeEvent& e )
{
  const size_t steps = e.get_rel_delivery_steps( nest::kernel().simulation_manager.get_slice_origin() );
  input_.add( nest::kernel().event_delivery_manager.get_modulo( steps ),
    e.get_rport() - 1,
    e,
    e.get_weight() * e.get_multiplicity() * C_->inverse_scale,
    analog_input.active() ? analog_input.factor( e ) : 1.0f );
}

void
Glif3Float32::handle( nest::DataLoggingRequest& e )
{
  logger_.handle( e );
}

size_t
Glif3Float32::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

size_t
Glif3Float32::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type < 1 or receptor_type > n_training_receptors )
  {
    throw nest::IncompatibleReceptorType( receptor_type, get_name(), "SpikeEvent" );
  }
  return receptor_type;
}

size_t
Glif3Float32::handles_test_event( nest::DataLoggingRequest& dlr, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return logger_.connect_logging_device( dlr, recordables_ );
}

double
Glif3Float32::get_V_m_() const
{
  return S_.v * static_cast< float >( C_->scale_mv ) + static_cast< float >( C_->parameters.E_L );
}

double
Glif3Float32::get_I_syn_() const
{
  return ( static_cast< double >( S_.psc[ 0 ] ) + S_.psc[ 1 ] + S_.psc[ 2 ] + S_.psc[ 3 ] ) * C_->scale_mv;
}

double
Glif3Float32::get_ASCurrents_sum_() const
{
  return ( static_cast< double >( S_.asc[ 0 ] ) + S_.asc[ 1 ] ) * C_->scale_mv;
}

void
Glif3Float32::get_status( Dictionary& d ) const
{
  C_->parameters.get( d );
  d[ "step_constants" ] = C_->step_constants();
  d[ nest::names::V_m ] = get_V_m_();
  d[ nest::names::ASCurrents ] =
    std::vector< double > { S_.asc[ 0 ] * C_->scale_mv, S_.asc[ 1 ] * C_->scale_mv };
  d[ nest::names::recordables ] = recordables_.get_list();
}

void
Glif3Float32::set_status( const Dictionary& d )
{
  Glif3Parameters p = C_->parameters;
  p.set( d );
  if ( p != C_->parameters )
  {
    C_ = shared_constants< Constants >( p );
    S_.v = static_cast< float >( C_->start );
  }
  double V_m = get_V_m_();
  if ( d.update_value( nest::names::V_m, V_m ) )
  {
    S_.v = static_cast< float >( ( V_m - p.E_L ) * C_->inverse_scale );
  }
  std::array< double, 2 > asc { S_.asc[ 0 ] * C_->scale_mv, S_.asc[ 1 ] * C_->scale_mv };
  update_pair( d, nest::names::ASCurrents, asc );
  S_.asc = { static_cast< float >( asc[ 0 ] * C_->inverse_scale ), static_cast< float >( asc[ 1 ] * C_->inverse_scale ) };
}

} // namespace v1sim
