#include "glif3.h"

#include <algorithm>

#include "analog_input.h"
#include "dictionary.h"
#include "exceptions.h"
#include "frozen_nodes.h"
#include "kernel_manager.h"
#include "nest_names.h"
#include "spike_record.h"
#include "universal_data_logger_impl.h"

namespace nest
{
template <>
void
RecordablesMap< v1sim::Glif3< double > >::create()
{
  insert_( names::V_m, &v1sim::Glif3< double >::get_V_m_ );
  insert_( names::I_syn, &v1sim::Glif3< double >::get_I_syn_ );
  insert_( names::ASCurrents_sum, &v1sim::Glif3< double >::get_ASCurrents_sum_ );
}

template <>
void
RecordablesMap< v1sim::Glif3< float > >::create()
{
  insert_( names::V_m, &v1sim::Glif3< float >::get_V_m_ );
  insert_( names::I_syn, &v1sim::Glif3< float >::get_I_syn_ );
  insert_( names::ASCurrents_sum, &v1sim::Glif3< float >::get_ASCurrents_sum_ );
}
}

namespace v1sim
{

template < typename Real >
nest::RecordablesMap< Glif3< Real > > Glif3< Real >::recordables_;

template < typename Real >
Glif3< Real >::Glif3()
  : C_( shared_constants< Glif3Constants >( Glif3Parameters() ) )
  , start_v_( static_cast< Real >( C_->start ) )
{
  recordables_.create();
}

template < typename Real >
Glif3< Real >::Glif3( const Glif3& other )
  : nest::Node( other )
  , C_( other.C_ )
  , start_v_( other.start_v_ )
  , start_asc_( other.start_asc_ )
{
}

template < typename Real >
void
Glif3< Real >::set_initialized_()
{
  if ( C_->dt_ms != nest::Time::get_resolution().get_ms() )
  {
    Glif3Parameters p = C_->parameters;
    p.step_constants.reset(); // they were those of another step
    C_ = shared_constants< Glif3Constants >( p );
  }
  index_ = hub_().add( *this );
  hub_().set_v( index_, start_v_ );
  for ( size_t j = 0; j < n_after_spike_currents; ++j )
  {
    hub_().set_asc( index_, j, start_asc_[ j ] );
  }
  set_frozen_( index_ != 0 );
}

template < typename Real >
Hub< Real >&
Glif3< Real >::hub_() const
{
  return hub< Real >( get_thread() );
}

template < typename Real >
void
Glif3< Real >::init_buffers_()
{
}

template < typename Real >
void
Glif3< Real >::pre_run_hook()
{
  if ( index_ == 0 )
  {
    restore_nodes( get_thread() );
    hub_().prepare();
  }
  if ( logger_ )
  {
    logger_->init();
  }
  assert_spikes_can_be_recorded( get_node_id() );
}

template < typename Real >
void
Glif3< Real >::update( const nest::Time& origin, const long from, const long to )
{
  if ( index_ == 0 )
  {
    hub_().update( origin, from, to );
    update_others( *this, origin, from, to );
  }
}

template < typename Real >
void
Glif3< Real >::update_synaptic_elements( double )
{
  if ( index_ == 0 )
  {
    restore_nodes( get_thread() );
  }
}

template < typename Real >
void
Glif3< Real >::record( const long step )
{
  logger_->record_data( step );
}

template < typename Real >
void
Glif3< Real >::handle( nest::SpikeEvent& e )
{
  const double factor = analog_input.active() ? analog_input.factor( e ) : 1.0f;
  hub_().add_input( e.get_stamp().get_steps() - 1 + e.get_delay_steps(),
    hub_().place( index_, e.get_rport() - 1 ),
    static_cast< Real >( e.get_weight() * e.get_multiplicity() * C_->inverse_scale * factor ) );
}

template < typename Real >
void
Glif3< Real >::handle( nest::DataLoggingRequest& e )
{
  logger_->handle( e );
}

template < typename Real >
size_t
Glif3< Real >::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  if ( is_in_hub() and not target.has_proxies() )
  {
    hub_().tell_devices_of( index_ );
  }
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

template < typename Real >
size_t
Glif3< Real >::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type < 1 or receptor_type > C_->n_receptors() )
  {
    throw nest::IncompatibleReceptorType( receptor_type, get_name(), "SpikeEvent" );
  }
  hub_().fix_receptors();
  hub_().use( index_, receptor_type - 1 );
  return receptor_type;
}

template < typename Real >
size_t
Glif3< Real >::handles_test_event( nest::DataLoggingRequest& dlr, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  if ( not logger_ )
  {
    logger_ = std::make_unique< nest::UniversalDataLogger< Glif3 > >( *this );
    hub_().record_voltage_of( *this );
  }
  return logger_->connect_logging_device( dlr, recordables_ );
}

template < typename Real >
Real
Glif3< Real >::v_() const
{
  return is_in_hub() ? hub_().v( index_ ) : start_v_;
}

template < typename Real >
std::array< double, n_after_spike_currents >
Glif3< Real >::asc_pa_() const
{
  std::array< double, n_after_spike_currents > asc;
  for ( size_t j = 0; j < n_after_spike_currents; ++j )
  {
    asc[ j ] = ( is_in_hub() ? hub_().asc( index_, j ) : start_asc_[ j ] ) * C_->scale_mv;
  }
  return asc;
}

template < typename Real >
double
Glif3< Real >::get_V_m_() const
{
  return v_() * static_cast< Real >( C_->scale_mv ) + static_cast< Real >( C_->parameters.E_L );
}

template < typename Real >
double
Glif3< Real >::get_I_syn_() const
{
  return is_in_hub() ? hub_().current( index_ ) * C_->scale_mv : 0.0;
}

template < typename Real >
double
Glif3< Real >::get_ASCurrents_sum_() const
{
  const auto asc = asc_pa_();
  return asc[ 0 ] + asc[ 1 ];
}

template < typename Real >
void
Glif3< Real >::get_status( Dictionary& d ) const
{
  C_->parameters.get( d );
  d[ "step_constants" ] = C_->step_constants();
  d[ nest::names::V_m ] = get_V_m_();
  const auto asc = asc_pa_();
  d[ nest::names::ASCurrents ] = std::vector< double >( asc.begin(), asc.end() );
  d[ nest::names::recordables ] = recordables_.get_list();
}

template < typename Real >
void
Glif3< Real >::set_status( const Dictionary& d )
{
  if ( d.known( nest::names::frozen ) )
  {
    throw nest::BadProperty( "Neurons of this model are updated together: none can be frozen or set free by itself." );
  }
  Glif3Parameters p = C_->parameters;
  p.set( d );
  auto constants = C_;
  if ( p != C_->parameters )
  {
    constants = shared_constants< Glif3Constants >( p );
    if ( has_synapses_ and constants->scale_mv != C_->scale_mv )
    {
      throw nest::BadProperty(
        "V_th - E_L must stay once synapses lead to the neuron: they hold their weights divided by it." );
    }
    if ( constants->n_receptors() < C_->n_receptors() and has_synapses_ )
    {
      throw nest::BadProperty( "The number of receptors cannot be reduced once synapses lead to the neuron." );
    }
  }
  double V_m = 0;
  const bool sets_v = d.update_value( nest::names::V_m, V_m );
  std::array< double, n_after_spike_currents > asc {};
  const bool sets_asc = update_pair( d, nest::names::ASCurrents, asc );
  // Nothing throws from here on but the hub, which then leaves all as it was.
  if ( constants != C_ and is_in_hub() )
  {
    hub_().set_constants( index_, *constants );
  }
  Real v = constants != C_ ? static_cast< Real >( constants->start ) : v_();
  if ( sets_v )
  {
    v = static_cast< Real >( ( V_m - p.E_L ) * constants->inverse_scale );
  }
  C_ = constants;
  start_v_ = v;
  if ( is_in_hub() )
  {
    hub_().set_v( index_, v );
  }
  if ( sets_asc )
  {
    for ( size_t j = 0; j < n_after_spike_currents; ++j )
    {
      start_asc_[ j ] = static_cast< Real >( asc[ j ] * C_->inverse_scale );
      if ( is_in_hub() )
      {
        hub_().set_asc( index_, j, start_asc_[ j ] );
      }
    }
  }
}

template class Glif3< double >;
template class Glif3< float >;

} // namespace v1sim
