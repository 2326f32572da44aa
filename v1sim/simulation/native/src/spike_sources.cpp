#include "spike_sources.h"

#include <algorithm>
#include <array>
#include <memory>

#include "analog_input.h"
#include "dictionary.h"
#include "event_delivery_manager_impl.h"
#include "exceptions.h"
#include "kernel_manager.h"
#include "spike_record.h"
#include "threads.h"

namespace v1sim
{
namespace
{
struct Spike
{
  std::int64_t stamp;
  SpikeSource* source;
};

//! Spikes of one population of sources, those of this thread.
struct Trains
{
  std::size_t first_node;
  std::vector< Spike > spikes;
  std::size_t next = 0;
};

struct alignas( 64 ) SourcesOfThread
{
  std::vector< SpikeSource* > sources;
  std::vector< Trains > trains;
};

std::array< std::unique_ptr< SourcesOfThread >, max_threads > sources_of_threads;

SourcesOfThread&
sources_of( const std::size_t tid )
{
  auto& pointer = sources_of_threads[ tid ];
  if ( not pointer )
  {
    pointer = std::make_unique< SourcesOfThread >();
  }
  return *pointer;
}
}

void
forget_sources()
{
  std::ranges::for_each( sources_of_threads, []( auto& sources ) { sources.reset(); } );
}

void
give_spikes( const std::size_t first_node,
  const std::size_t n_sources,
  const std::int32_t* const source,
  const std::int64_t* const stamps,
  const std::size_t n_spikes )
{
  const auto give = [ = ]( const std::size_t tid )
  {
    auto& mine = sources_of( tid );
    std::vector< SpikeSource* > of_index( n_sources, nullptr );
    for ( auto* const node : mine.sources )
    {
      const std::size_t i = node->get_node_id() - first_node;
      if ( i < n_sources )
      {
        of_index[ i ] = node;
      }
    }
    auto trains = std::ranges::find( mine.trains, first_node, &Trains::first_node );
    if ( trains == mine.trains.end() )
    {
      trains = mine.trains.insert( trains, { first_node, {}, 0 } );
    }
    trains->spikes.clear();
    trains->next = 0;
    for ( std::size_t i = 0; i < n_spikes; ++i )
    {
      if ( auto* const node = of_index[ source[ i ] ] )
      {
        trains->spikes.push_back( { stamps[ i ], node } );
      }
    }
  };
  on_each_thread( give );
}

size_t
SpikeSource::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  has_devices_ = has_devices_ or not target.has_proxies();
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

void
SpikeSource::get_status( Dictionary& ) const
{
}

void
SpikeSource::set_status( const Dictionary& d )
{
  if ( d.known( nest::names::frozen ) )
  {
    throw nest::BadProperty( "Spike sources are updated together: none can be frozen or set free by itself." );
  }
}

void
SpikeSource::set_initialized_()
{
  auto& sources = sources_of( get_thread() ).sources;
  is_first_ = sources.empty();
  sources.push_back( this );
  set_frozen_( not is_first_ );
}

void
SpikeSource::init_buffers_()
{
}

void
SpikeSource::pre_run_hook()
{
}

void
SpikeSource::send( const nest::Time& origin, const long lag )
{
  auto& events = nest::kernel().event_delivery_manager;
  nest::SpikeEvent event;
  if ( has_devices_ )
  {
    events.send( *this, event, lag );
    return;
  }
  // As send() does, without a look at the devices: their table takes 1 kB a node.
  event.set_sender( *this );
  event.set_sender_node_id( get_node_id() );
  event.set_stamp( origin + nest::Time::step( lag + 1 ) );
  events.send_remote( get_thread(), event, lag );
}

void
SpikeSource::update( const nest::Time& origin, const long from, const long to )
{
  if ( not is_first_ )
  {
    return;
  }
  auto& mine = sources_of( get_thread() );
  const std::int64_t first = origin.get_steps() + from + 1; // stamp of a spike sent at `from`
  const std::int64_t last = origin.get_steps() + to;
  for ( Trains& trains : mine.trains )
  {
    for ( ; trains.next < trains.spikes.size() and trains.spikes[ trains.next ].stamp <= last; ++trains.next )
    {
      const auto& [ stamp, source ] = trains.spikes[ trains.next ];
      if ( stamp >= first and not analog_input.includes( source->get_node_id() ) )
      {
        source->send( origin, stamp - origin.get_steps() - 1 );
      }
    }
  }
  if ( not analog_input.active() )
  {
    return;
  }
  for ( std::int64_t stamp = first; stamp <= last; ++stamp )
  {
    for ( auto* const source : mine.sources )
    {
      if ( analog_input.includes( source->get_node_id() ) and analog_input.of( source->get_node_id(), stamp ) != 0.0f )
      {
        source->send( origin, stamp - origin.get_steps() - 1 );
      }
    }
  }
}

void
SpikeSink::handle( nest::SpikeEvent& e )
{
  auto& list = recorded_spikes()[ get_thread() ];
  const RecordedSpike spike { static_cast< std::uint32_t >( e.retrieve_sender_node_id_from_source_table() ),
    static_cast< std::uint32_t >( e.get_stamp().get_steps() ) };
  list.insert( list.end(), e.get_multiplicity(), spike );
}

size_t
SpikeSink::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return 0;
}

void
SpikeSink::get_status( Dictionary& ) const
{
}

void
SpikeSink::set_status( const Dictionary& )
{
}

void
SpikeSink::init_buffers_()
{
}

void
SpikeSink::pre_run_hook()
{
}

void
SpikeSink::update( const nest::Time&, const long, const long )
{
}

} // namespace v1sim
