#include "synapse.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "analog_input.h"
#include "connector_base_impl.h"
#include "connector_model_impl.h"
#include "dictionary.h"
#include "exceptions.h"
#include "kernel_manager.h"
#include "nest_names.h"
#include "sort.h"

namespace v1sim
{
namespace
{
class TestNode : public nest::ConnTestDummyNodeBase
{
public:
  using ConnTestDummyNodeBase::handles_test_event;

  size_t
  handles_test_event( nest::SpikeEvent&, size_t ) override
  {
    return nest::invalid_port;
  }

  size_t
  handles_test_event( nest::DSSpikeEvent&, size_t ) override
  {
    return nest::invalid_port;
  }
};

//! Normalised weight of a synapse, as float32.
float
normalised( const double weight_pa, const double scale_mv )
{
  const auto weight = static_cast< float >( weight_pa / scale_mv );
  if ( not std::isfinite( weight ) )
  {
    throw nest::BadProperty( "The weight of a synapse must be a finite number that float32 can hold." );
  }
  return weight;
}

std::size_t
thread_of( const nest::ConnectorModel& model, const nest::synindex syn_id )
{
  std::size_t tid = 0;
  while ( &nest::kernel().model_manager.get_connection_model( syn_id, tid ) != &model )
  {
    ++tid;
  }
  return tid;
}
}

template < typename Real >
Synapse< Real >::Synapse()
{
  set_weight( 1.0 );
}

template < typename Real >
Synapse< Real >::Synapse( const nest::synindex syn_id,
  const std::uint32_t place,
  const std::uint32_t delay_steps,
  const float weight )
  : weight_( weight )
{
  this->target_.value = place;
  this->set_syn_id( syn_id );
  this->set_delay_steps( delay_steps );
}

template < typename Real >
double
Synapse< Real >::pending_weight_pa() const
{
  const auto low = static_cast< std::uint64_t >( std::bit_cast< std::uint32_t >( weight_ ) );
  return std::bit_cast< double >( static_cast< std::uint64_t >( place() ) << 32 | low );
}

template < typename Real >
void
Synapse< Real >::set_weight( const double weight_pa )
{
  const auto bits = std::bit_cast< std::uint64_t >( weight_pa );
  this->target_.value = static_cast< std::uint32_t >( bits >> 32 );
  weight_ = std::bit_cast< float >( static_cast< std::uint32_t >( bits ) );
}

template < typename Real >
void
Synapse< Real >::get_status( Dictionary& d ) const
{
  d[ nest::names::delay ] = this->get_delay();
  d[ nest::names::weight ] = pending_weight_pa();
}

template < typename Real >
void
Synapse< Real >::set_status( const Dictionary& d, nest::ConnectorModel& model )
{
  Base::set_status( d, model );
  double weight_pa = pending_weight_pa();
  if ( d.update_value( nest::names::weight, weight_pa ) )
  {
    set_weight( weight_pa );
  }
}

template < typename Real >
void
Synapse< Real >::check_connection( nest::Node& source,
  nest::Node& target,
  const std::size_t receptor,
  const CommonPropertiesType& )
{
  TestNode test;
  source.send_test_event( test, receptor, this->get_syn_id(), true );
  auto* const neuron = dynamic_cast< Glif3< Real >* >( &target );
  if ( not neuron )
  {
    throw nest::IllegalConnection( "This synapse leads to neurons of v1sim's models alone." );
  }
  const std::size_t port = source.send_test_event( target, receptor, this->get_syn_id(), false );
  if ( not( source.sends_signal() & target.receives_signal() ) )
  {
    throw nest::IllegalConnection( "Source and target neuron are not compatible." );
  }
  const float weight = normalised( pending_weight_pa(), neuron->constants().scale_mv );
  auto& h = hub< Real >( target.get_thread() );
  h.fix_receptors();
  this->target_.value = h.place( neuron->index(), port - 1 );
  weight_ = weight;
  neuron->has_synapse();
}

template < typename Real >
bool
Synapse< Real >::send( nest::Event& e, const std::size_t tid, const CommonPropertiesType& )
{
  // A device may draw for each target by itself: it does so when the event is sent.
  const auto& h = hub< Real >( tid );
  e.set_weight( weight_pa( h ) );
  e.set_delay_steps( delay() );
  e.set_receiver( *this->get_target( tid ) );
  e.set_rport( h.receptor_of( place() ) + 1 );
  e();
  return false;
}

template < typename Real >
void
Synapse< Real >::get_status( Dictionary& d, const std::size_t tid ) const
{
  const auto& h = hub< Real >( tid );
  d[ nest::names::delay ] = this->get_delay();
  d[ nest::names::weight ] = weight_pa( h );
  d[ nest::names::rport ] = static_cast< long >( h.receptor_of( place() ) + 1 );
  d[ nest::names::target ] = static_cast< long >( this->get_target( tid )->get_node_id() );
}

template < typename Real >
void
Synapse< Real >::set_status( const Dictionary& d, nest::ConnectorModel& model, const std::size_t tid )
{
  double weight_pa = 0;
  float weight = weight_;
  if ( d.update_value( nest::names::weight, weight_pa ) )
  {
    weight = normalised( weight_pa, hub< Real >( tid ).scale_mv_of( place() ) );
  }
  const std::uint64_t before = order();
  Base::set_status( d, model );
  weight_ = weight;
  if ( order() != before )
  {
    rows_are_in_order = false; // until NEST sorts again
  }
}

template < typename Real >
void
Synapse< Real >::disable()
{
  Base::disable();
  const std::uint64_t before = order();
  weight_ = 0;
  if ( order() != before )
  {
    rows_are_in_order = false;
  }
}

namespace
{
template < typename Real >
bool
are_sorted( const BlockVector< nest::Source >& sources, const BlockVector< Synapse< Real > >& rows )
{
  for ( std::size_t i = 1; i < rows.size(); ++i )
  {
    const std::size_t before = sources[ i - 1 ].get_node_id();
    const std::size_t now = sources[ i ].get_node_id();
    if ( now < before or ( now == before and rows[ i ].order() < rows[ i - 1 ].order() ) )
    {
      return false;
    }
  }
  return true;
}
}

template < typename Real >
void
sort_row( std::vector< Synapse< Real > >& row )
{
  // Words of order and index are sorted faster than synapses, where both fit into one.
  constexpr int index_bits = 16, place_bits = 32, delay_bits = 15;
  const auto fits = []( const Synapse< Real >& s ) { return s.delay() < 1u << delay_bits; };
  if ( row.size() > std::size_t( 1 ) << index_bits or not std::ranges::all_of( row, fits ) )
  {
    std::ranges::sort( row, {}, &Synapse< Real >::order );
    return;
  }
  static thread_local std::vector< std::uint64_t > words;
  static thread_local std::vector< Synapse< Real > > before;
  words.clear();
  for ( const auto& synapse : row )
  {
    words.push_back( static_cast< std::uint64_t >( synapse.weight() == 0 ) << 63
      | static_cast< std::uint64_t >( synapse.delay() ) << ( place_bits + index_bits )
      | static_cast< std::uint64_t >( synapse.place() ) << index_bits | words.size() );
  }
  std::ranges::sort( words );
  before.assign( row.begin(), row.end() );
  for ( std::size_t i = 0; i < row.size(); ++i )
  {
    row[ i ] = before[ words[ i ] & ( ( 1u << index_bits ) - 1 ) ];
  }
}

template < typename Real >
void
sort_rows( BlockVector< nest::Source >& sources, BlockVector< Synapse< Real > >& rows )
{
  if ( are_sorted( sources, rows ) )
  {
    return;
  }
  nest::sort( sources, rows );
  std::vector< Synapse< Real > > row;
  for ( std::size_t begin = 0, n = rows.size(); begin < n; )
  {
    const std::size_t source = sources[ begin ].get_node_id();
    row.clear();
    for ( std::size_t i = begin; i < n and sources[ i ].get_node_id() == source; ++i )
    {
      row.push_back( rows[ i ] );
    }
    sort_row( row );
    for ( const auto& synapse : row )
    {
      rows[ begin++ ] = synapse;
    }
  }
}

template class Synapse< double >;
template class Synapse< float >;
template void sort_row( std::vector< Synapse< double > >& );
template void sort_row( std::vector< Synapse< float > >& );
template void sort_rows( BlockVector< nest::Source >&, BlockVector< Synapse< double > >& );
template void sort_rows( BlockVector< nest::Source >&, BlockVector< Synapse< float > >& );

} // namespace v1sim

namespace nest
{
#define V1SIM_CONNECTOR( REAL )                                                                                  \
  template <>                                                                                                    \
  std::size_t Connector< v1sim::Synapse< REAL > >::send(                                                         \
    const std::size_t tid, const std::size_t lcid, const std::vector< ConnectorModel* >&, Event& e )             \
  {                                                                                                              \
    const auto& spike = static_cast< SpikeEvent& >( e );                                                         \
    const float factor = v1sim::analog_input.active() ? v1sim::analog_input.factor( spike ) : 1.0f;              \
    v1sim::hub< REAL >( tid ).queue( C_, lcid, spike.get_stamp().get_steps() - 1, factor );                      \
    return 1;                                                                                                    \
  }                                                                                                              \
  template <>                                                                                                    \
  void Connector< v1sim::Synapse< REAL > >::sort_connections( BlockVector< Source >& sources )                   \
  {                                                                                                              \
    v1sim::sort_rows( sources, C_ );                                                                             \
    v1sim::rows_are_in_order = true;                                                                             \
  }                                                                                                              \
  template <>                                                                                                    \
  void Connector< v1sim::Synapse< REAL > >::get_synapse_status(                                                  \
    const std::size_t tid, const std::size_t lcid, Dictionary& d ) const                                         \
  {                                                                                                              \
    C_[ lcid ].get_status( d, tid );                                                                             \
  }                                                                                                              \
  template <>                                                                                                    \
  void Connector< v1sim::Synapse< REAL > >::set_synapse_status(                                                  \
    const std::size_t lcid, const Dictionary& d, ConnectorModel& model )                                         \
  {                                                                                                              \
    C_[ lcid ].set_status( d, model, v1sim::thread_of( model, syn_id_ ) );                                       \
  }                                                                                                              \
  template <>                                                                                                    \
  void Connector< v1sim::Synapse< REAL > >::disable_connection( const std::size_t lcid )                         \
  {                                                                                                              \
    C_[ lcid ].disable();                                                                                        \
  }
V1SIM_CONNECTOR( double )
V1SIM_CONNECTOR( float )
#undef V1SIM_CONNECTOR
}
