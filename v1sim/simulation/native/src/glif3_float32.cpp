#include "glif3_float32.h"

#include <algorithm>
#include <iterator>
#include <numeric>

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

SummationOrder&
summation_order()
{
  static SummationOrder order;
  return order;
}

Glif3Float32::Constants::Constants( const Glif3Parameters& p, const double dt )
  : Glif3Constants( p, dt )
{
  const auto round = []( const double x ) { return static_cast< float >( x ); };
  std::ranges::transform( syn_decay, std::back_inserter( rounded.syn_decay ), round );
  std::ranges::transform( psc_initial, std::back_inserter( rounded.psc_initial ), round );
  std::ranges::transform( asc_decay, rounded.asc_decay.begin(), round );
  std::ranges::transform( asc_amp, rounded.asc_amp.begin(), round );
  rounded.decay = round( decay );
  rounded.current_factor = round( current_factor );
  rounded.reset = round( reset );
  rounded.start = round( start );
  rounded.t_ref = round( p.t_ref );
  rounded.dt = round( dt_ms );
  std::ranges::transform(
    rounded.syn_decay, std::back_inserter( rounded.dt_syn_decay ), [ this ]( const float d ) { return rounded.dt * d; } );
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
//! An arrival's order: receptor, group, then source and delay, or delay and source.
constexpr int delay_bits = 16;
constexpr int source_bits = SummationOrder::source_bits;
constexpr int within_group_bits = source_bits + delay_bits;
constexpr int receptor_shift = SummationOrder::group_bits + within_group_bits;
}

void
Arrivals::add( const size_t step,
  const size_t receptor,
  const nest::SpikeEvent& e,
  const double weight,
  const float factor )
{
  const size_t node = sender_node_id( e );
  const auto& order = summation_order();
  const std::uint64_t place = node < order.place.size() ? order.place[ node ] : 0;
  const std::uint64_t group = place >> source_bits, source = place & ( ( 1u << source_bits ) - 1 );
  const auto delay = static_cast< std::uint64_t >( e.get_delay_steps() );
  const std::uint64_t within = order.delay_first ? delay << source_bits | source : source << delay_bits | delay;
  arrivals_[ step ].push_back(
    { receptor << receptor_shift | group << within_group_bits | within, static_cast< float >( weight ) * factor } );
}

void
Arrivals::take( const size_t step, std::vector< float >& sums )
{
  auto& arrivals = arrivals_[ step ];
  std::ranges::stable_sort( arrivals, {}, &Arrival::order );
  std::ranges::fill( sums, 0.0f );
  // Of a receptor; groups come in their order, the network's own first.
  for ( auto it = arrivals.begin(); it != arrivals.end(); )
  {
    const std::uint64_t receptor = it->order >> receptor_shift;
    float recurrent = 0, outside = 0;
    while ( it != arrivals.end() and it->order >> receptor_shift == receptor )
    {
      const std::uint64_t group = it->order >> within_group_bits;
      float sum = 0;
      for ( ; it != arrivals.end() and it->order >> within_group_bits == group; ++it )
      {
        sum += it->weight;
      }
      const bool is_recurrent = ( group & ( ( 1u << SummationOrder::group_bits ) - 1 ) ) == 0;
      ( is_recurrent ? recurrent : outside ) += sum;
    }
    sums[ receptor ] = recurrent + outside;
  }
  arrivals.clear();
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
  make_room_for_receptors();
  S_.v = C_->rounded.start;
  input_.clear();
}

void
Glif3Float32::make_room_for_receptors()
{
  S_.rise.resize( C_->n_receptors() );
  S_.psc.resize( C_->n_receptors() );
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
  const bool currents_apart = summation_order().currents_apart;
  static thread_local std::vector< float > input;
  input.resize( C_->n_receptors() );
  for ( long lag = from; lag < to; ++lag )
  {
    input_.take( nest::kernel().event_delivery_manager.get_modulo( lag ), input );

    float current = 0;
    for ( size_t i = 0; i < input.size(); ++i )
    {
      current += S_.psc[ i ];
      S_.psc[ i ] = c.syn_decay[ i ] * S_.psc[ i ] + c.dt_syn_decay[ i ] * S_.rise[ i ];
      S_.rise[ i ] = c.syn_decay[ i ] * S_.rise[ i ] + input[ i ] * c.psc_initial[ i ];
    }
    current = currents_apart ? current + ( S_.asc[ 0 ] + S_.asc[ 1 ] ) : current + S_.asc[ 0 ] + S_.asc[ 1 ];
    S_.asc[ 0 ] = c.asc_decay[ 0 ] * S_.asc[ 0 ] + S_.z * c.asc_amp[ 0 ];
    S_.asc[ 1 ] = c.asc_decay[ 1 ] * S_.asc[ 1 ] + S_.z * c.asc_amp[ 1 ];
    S_.r = std::max( float( 0 ), S_.r + S_.z * c.t_ref - c.dt );
    S_.v = c.decay * S_.v + c.current_factor * current + S_.z * c.reset;
    if ( C_->parameters.hard_reset and S_.r > float( 0 ) )
    {
      S_.v = c.start;
    }

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
  if ( receptor_type < 1 or receptor_type > C_->n_receptors() )
  {
    throw nest::IncompatibleReceptorType( receptor_type, get_name(), "SpikeEvent" );
  }
  has_synapses_ = true;
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
  return std::accumulate( S_.psc.begin(), S_.psc.end(), 0.0 ) * C_->scale_mv;
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
    const auto constants = shared_constants< Constants >( p );
    if ( constants->n_receptors() < C_->n_receptors() and has_synapses_ )
    {
      throw nest::BadProperty( "The number of receptors cannot be reduced once synapses lead to the neuron." );
    }
    C_ = constants;
    make_room_for_receptors();
    S_.v = C_->rounded.start;
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
