/*
 *  The NEST extension module: registers the neuron models.
 *
 *  NEST looks for <file name>_LTX_module; the functions with C linkage are
 *  called from Python through ctypes, in the process that NEST lives in.
 */
#include "analog_input.h"
#include "glif3_training.h"
#include "glif_psc_reset.h"
#include "spike_sources.h"

#include "nest_extension_interface.h"

namespace v1sim
{
class Module : public nest::NESTExtensionInterface
{
public:
  void
  initialize() override
  {
    nest::register_node_model< Glif3Training< double > >( "glif3_training" );
    nest::register_node_model< Glif3Training< float > >( "glif3_training_float32" );
    nest::register_node_model< SpikeSource >( "spike_source" );
    nest::register_node_model< SpikeSink >( "spike_sink" );
    muted = false;
    recorded_spikes().clear();
    analog_input.clear();
  }
};

namespace
{
//! Call f with every node of this process, each on its own thread.
template < typename Function >
void
for_each_node( const Function& f )
{
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    const auto& nodes = nest::kernel().node_manager.get_local_nodes( tid );
    for ( auto it = nodes.begin(); it != nodes.end(); ++it )
    {
      f( *it->get_node() );
    }
  }
}
}
}

v1sim::Module v1sim_native_LTX_module;

extern "C"
{

//! Make one list of spikes a thread, and no analog input; to be called after the number of threads is set.
void
v1sim_prepare()
{
  v1sim::analog_input.clear();
  v1sim::recorded_spikes().assign( nest::kernel().vp_manager.get_num_threads(), {} );
}

//! Number of spikes recorded since they were last taken.
std::int64_t
v1sim_n_recorded()
{
  std::int64_t n = 0;
  for ( const auto& list : v1sim::recorded_spikes() )
  {
    n += static_cast< std::int64_t >( list.size() );
  }
  return n;
}

//! Copy node id and step of the recorded spikes (v1sim_n_recorded() of them) and forget them.
void
v1sim_take_recorded( std::uint32_t* node, std::uint32_t* step )
{
  for ( auto& list : v1sim::recorded_spikes() )
  {
    for ( const auto& spike : list )
    {
      *node++ = spike.node;
      *step++ = spike.step;
    }
    list.clear();
  }
}

/**
 * Say in which order float32 neurons add what arrives in a step: by order[ node id ], whose two
 * highest bits say to which sum a source belongs (0 recurrent, 1 LGN, 2 background).
 */
void
v1sim_set_source_order( const std::uint32_t* order, const std::int64_t n )
{
  v1sim::source_order().assign( order, order + n );
}

//! While muted no neuron spikes, so that what is on its way arrives and nothing follows.
void
v1sim_set_muted( const int muted )
{
  v1sim::muted = muted != 0;
}

//! Every GLIF3 neuron and its input as after creation; the resting state V_reset.
void
v1sim_reset_neurons()
{
  v1sim::for_each_node(
    []( nest::Node& node )
    {
      if ( auto* const neuron = dynamic_cast< v1sim::Glif3Training< double >* >( &node ) )
      {
        neuron->reset_state();
      }
      else if ( auto* const neuron32 = dynamic_cast< v1sim::Glif3Training< float >* >( &node ) )
      {
        neuron32->reset_state();
      }
      else if ( auto* const nests_own = dynamic_cast< nest::glif_psc* >( &node ) )
      {
        v1sim::reset_glif_psc( *nests_own );
      }
    } );
}

/**
 * Give sources first_node .. first_node + n_sources - 1 their spikes: steps[ start[ i ] ] up to
 * steps[ start[ i + 1 ] ] are the time stamps (in steps, ascending) of the i-th. They are no
 * sources of analog input any more.
 */
void
v1sim_give_spikes( const std::int64_t first_node,
  const std::int64_t n_sources,
  const std::int64_t* start,
  const std::int64_t* steps )
{
  v1sim::analog_input.clear();
  v1sim::for_each_node(
    [ = ]( nest::Node& node )
    {
      auto* const source = dynamic_cast< v1sim::SpikeSource* >( &node );
      const std::int64_t i = static_cast< std::int64_t >( node.get_node_id() ) - first_node;
      if ( source and i >= 0 and i < n_sources )
      {
        source->give( steps + start[ i ], steps + start[ i + 1 ] );
      }
    } );
}

/**
 * Make sources first_node .. first_node + n_sources - 1 those of analog input:
 * values[ n_steps ][ n_sources ], of which the first row has time stamp first_step.
 */
void
v1sim_give_values( const std::int64_t first_node,
  const std::int64_t n_sources,
  const std::int64_t first_step,
  const std::int64_t n_steps,
  const float* values )
{
  v1sim::analog_input.give( first_node, n_sources, first_step, n_steps, values );
}
}
