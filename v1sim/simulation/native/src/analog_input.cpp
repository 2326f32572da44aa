#include "analog_input.h"

#include "node.h"

namespace v1sim
{

AnalogInput analog_input;

void
AnalogInput::give( const size_t first_node,
  const size_t n_sources,
  const std::int64_t first_step,
  const size_t n_steps,
  const float* values )
{
  first_node_ = first_node;
  n_sources_ = n_sources;
  first_step_ = first_step;
  n_steps_ = static_cast< std::int64_t >( n_steps );
  values_.assign( values, values + n_steps * n_sources );
}

void
AnalogInput::clear()
{
  *this = AnalogInput();
}

float
AnalogInput::of( const size_t node, const std::int64_t step ) const
{
  const std::int64_t row = step - first_step_;
  return row >= 0 and row < n_steps_ ? values_[ row * n_sources_ + ( node - first_node_ ) ] : 0.0f;
}

float
AnalogInput::factor( const nest::SpikeEvent& e ) const
{
  const size_t node = sender_node_id( e );
  return includes( node ) ? of( node, e.get_stamp().get_steps() ) : 1.0f;
}

size_t
sender_node_id( const nest::SpikeEvent& e )
{
  return e.sender_is_valid() ? e.get_sender().get_node_id() : e.retrieve_sender_node_id_from_source_table();
}

} // namespace v1sim
