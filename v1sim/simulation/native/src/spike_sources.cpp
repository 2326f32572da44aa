#include "spike_sources.h"

#include "analog_input.h"
#include "dictionary.h"
#include "exceptions.h"
#include "glif3_training.h"
#include "kernel_manager.h"
#include "nest_impl.h"

namespace v1sim
{

size_t
SpikeSource::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

void
SpikeSource::get_status( Dictionary& ) const
{
}

void
SpikeSource::set_status( const Dictionary& )
{
}

void
SpikeSource::give( const std::int64_t* begin, const std::int64_t* end )
{
  steps_.assign( begin, end );
  next_ = 0;
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
SpikeSource::update( const nest::Time& origin, const long from, const long to )
{
  const std::int64_t first = origin.get_steps() + from + 1; // stamp of a spike sent at `from`
  const std::int64_t last = origin.get_steps() + to;
  const auto send = [ this, &origin ]( const std::int64_t step )
  {
    nest::SpikeEvent event;
    nest::kernel().event_delivery_manager.send( *this, event, step - origin.get_steps() - 1 );
  };
  if ( analog_input.includes( get_node_id() ) )
  {
    for ( std::int64_t step = first; step <= last; ++step )
    {
      if ( analog_input.of( get_node_id(), step ) != 0.0f )
      {
        send( step );
      }
    }
    return;
  }
  for ( ; next_ < steps_.size() and steps_[ next_ ] <= last; ++next_ )
  {
    if ( steps_[ next_ ] >= first )
    {
      send( steps_[ next_ ] );
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
