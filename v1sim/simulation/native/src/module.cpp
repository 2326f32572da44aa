/*
 *  The NEST extension module: registers the models.
 *
 *  NEST looks for <file name>_LTX_module; the functions with C linkage are
 *  called from Python through ctypes, in the process that NEST lives in.
 */
#include "analog_input.h"
#include "frozen_nodes.h"
#include "glif3.h"
#include "glif3_float32.h"
#include "glif_psc_reset.h"
#include "hub.h"
#include "spike_record.h"
#include "spike_sources.h"
#include "synapse.h"
#include "threads.h"

#include "nest_extension_interface.h"

namespace v1sim
{
class Module : public nest::NESTExtensionInterface
{
public:
  void
  initialize() override
  {
    nest::register_node_model< Glif3< double > >( "glif3_training" );
    nest::register_node_model< Glif3< float > >( "glif3_training_single" );
    nest::register_node_model< Glif3Float32 >( "glif3_training_float32" );
    nest::register_node_model< SpikeSource >( "spike_source" );
    nest::register_node_model< SpikeSink >( "spike_sink" );
    nest::register_connection_model< DoubleSynapse >( "normalised_synapse" );
    nest::register_connection_model< SingleSynapse >( "normalised_synapse_single" );
    muted = false;
    recorded_spikes().clear();
    analog_input.clear();
    forget_hubs();
    forget_sources();
    forget_cuts();
    skips_frozen_nodes = false;
  }

private:
  // NEST registers templates over the kind of target; these have one of their own.
  template < typename >
  using DoubleSynapse = Synapse< double >;
  template < typename >
  using SingleSynapse = Synapse< float >;
};

namespace
{
//! Call f( hub ) with each hub of this process, on its own thread.
template < typename Function >
void
for_each_hub( const Function& f )
{
  on_each_thread(
    [ & ]( const std::size_t tid )
    {
      if ( has_hub< double >( tid ) )
      {
        f( hub< double >( tid ) );
      }
      if ( has_hub< float >( tid ) )
      {
        f( hub< float >( tid ) );
      }
    } );
}

//! Call f( hub, neuron, i ) with each of the n neurons that this process has, by their node ids.
template < typename Function >
void
for_each_neuron( const std::int64_t* node, const std::int64_t n, const Function& f )
{
  std::size_t largest = 0;
  for ( std::int64_t i = 0; i < n; ++i )
  {
    largest = std::max( largest, static_cast< std::size_t >( node[ i ] ) );
  }
  std::vector< std::int64_t > index( largest + 1, -1 );
  for ( std::int64_t i = 0; i < n; ++i )
  {
    index[ node[ i ] ] = i;
  }
  for_each_hub(
    [ & ]( auto& hub )
    {
      for ( const auto* const neuron : hub.neurons() )
      {
        const std::size_t id = neuron->get_node_id();
        if ( id <= largest and index[ id ] >= 0 )
        {
          f( hub, *neuron, static_cast< std::size_t >( index[ id ] ) );
        }
      }
    } );
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

//! Say in which order float32 neurons add up, as SummationOrder has it; place[ node id ].
void
v1sim_set_summation_order( const std::uint32_t* place,
  const std::int64_t n,
  const int delay_first,
  const int currents_apart )
{
  v1sim::summation_order() = { { place, place + n }, delay_first != 0, currents_apart != 0 };
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
  v1sim::for_each_hub( []( auto& hub ) { hub.reset(); } );
  v1sim::on_each_thread(
    []( const std::size_t tid )
    {
      const auto& nodes = nest::kernel().node_manager.get_local_nodes( tid );
      for ( auto it = nodes.begin(); it != nodes.end(); ++it )
      {
        nest::Node* const node = it->get_node();
        if ( auto* const neuron = dynamic_cast< v1sim::Glif3Float32* >( node ) )
        {
          neuron->reset_state();
        }
        else if ( auto* const nests_own = dynamic_cast< nest::glif_psc* >( node ) )
        {
          v1sim::reset_glif_psc( *nests_own );
        }
      }
    } );
}

/**
 * Give sources first_node .. first_node + n_sources - 1 their spikes in place of earlier ones: source[ i ] of
 * them sends one with time stamp stamps[ i ] (in steps, ascending). They are no sources of analog input any more.
 */
void
v1sim_give_spikes( const std::int64_t first_node,
  const std::int64_t n_sources,
  const std::int32_t* source,
  const std::int64_t* stamps,
  const std::int64_t n_spikes )
{
  v1sim::analog_input.clear();
  v1sim::give_spikes( first_node, n_sources, source, stamps, n_spikes );
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

//! Background weights[ n_nodes ][ n_receptors ], normalised, of the neurons with these node ids, in place of earlier ones.
void
v1sim_set_background_weights( const std::int64_t* node,
  const std::int64_t n_nodes,
  const std::int64_t n_receptors,
  const float* weights )
{
  v1sim::for_each_neuron( node,
    n_nodes,
    [ = ]( auto& hub, const auto& neuron, const std::size_t row )
    {
      const std::size_t n = std::min( neuron.constants().n_receptors(), static_cast< std::size_t >( n_receptors ) );
      for ( std::size_t i = 0; i < n; ++i )
      {
        hub.set_background_weight( neuron.index(), i, weights[ row * n_receptors + i ] );
      }
    } );
}

//! What background weights are multiplied by in NEST's steps first_step .. ; 0 in all others.
void
v1sim_set_background( const std::int64_t first_step, const double* factors, const std::int64_t n_steps )
{
  v1sim::for_each_hub( [ = ]( auto& hub ) { hub.set_background( first_step, factors, n_steps ); } );
}

//! In steps first_step .. each neuron and receptor draws its own events, one a step on average, each of event_weight.
void
v1sim_set_poisson_background( const std::int64_t first_step,
  const std::int64_t n_steps,
  const std::uint64_t key,
  const double event_weight )
{
  v1sim::for_each_hub( [ = ]( auto& hub ) { hub.set_poisson_background( first_step, n_steps, key, event_weight ); } );
}

//! Whether NEST's loop over nodes ends before the frozen ones; see frozen_nodes.h.
void
v1sim_skip_frozen_nodes( const int skips )
{
  v1sim::skips_frozen_nodes = skips != 0;
}

//! Numbers of the state of a neuron, and steps for which something may be on its way.
void
v1sim_state_shape( std::int64_t* n_numbers, std::int64_t* n_slots, std::int64_t* n_receptors )
{
  *n_numbers = *n_slots = *n_receptors = 0;
  for ( std::size_t tid = 0; tid < nest::kernel().vp_manager.get_num_threads(); ++tid )
  {
    const auto take = [ & ]( const auto& hub )
    {
      *n_numbers = std::max( *n_numbers, static_cast< std::int64_t >( hub.state_size() ) );
      *n_slots = std::max( *n_slots, static_cast< std::int64_t >( hub.n_slots() ) );
      *n_receptors = std::max( *n_receptors, static_cast< std::int64_t >( hub.n_receptors() ) );
    };
    if ( v1sim::has_hub< double >( tid ) )
    {
      take( v1sim::hub< double >( tid ) );
    }
    if ( v1sim::has_hub< float >( tid ) )
    {
      take( v1sim::hub< float >( tid ) );
    }
  }
}

/**
 * State of the neurons with these node ids as v1sim_state_shape() says: state[ n ][ n_numbers ] and
 * arriving[ n ][ n_slots ][ n_receptors ], from the coming step on. Rows of neurons of other processes stay as they are.
 */
void
v1sim_get_state( const std::int64_t* node,
  const std::int64_t n,
  const std::int64_t n_numbers,
  const std::int64_t n_slots,
  const std::int64_t n_receptors,
  double* state,
  double* arriving )
{
  v1sim::for_each_neuron( node,
    n,
    [ = ]( auto& hub, const auto& neuron, const std::size_t i )
    {
      hub.get_state( neuron.index(), state + i * n_numbers );
      hub.get_arriving( neuron.index(), n_slots, arriving + i * n_slots * n_receptors );
    } );
}

//! Set what v1sim_get_state() gave; no spikes are sent for it.
void
v1sim_set_state( const std::int64_t* node,
  const std::int64_t n,
  const std::int64_t n_numbers,
  const std::int64_t n_slots,
  const std::int64_t n_receptors,
  const double* state,
  const double* arriving )
{
  v1sim::for_each_neuron( node,
    n,
    [ = ]( auto& hub, const auto& neuron, const std::size_t i )
    {
      hub.set_state( neuron.index(), state + i * n_numbers );
      hub.set_arriving( neuron.index(), n_slots, arriving + i * n_slots * n_receptors );
    } );
}

//! Let these neurons send a spike each in the coming step, which is not recorded.
void
v1sim_send_again( const std::int64_t* node, const std::int64_t n )
{
  v1sim::for_each_neuron(
    node, n, []( auto& hub, const auto& neuron, std::size_t ) { hub.send_again( neuron.index() ); } );
}
}
