/*
 *  The NEST extension module: registers the neuron models.
 *
 *  NEST looks for <file name>_LTX_module; the functions with C linkage are
 *  called from Python through ctypes, in the process that NEST lives in.
 */
#include "glif3_training.h"

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
    muted = false;
    recorded_spikes().clear();
  }
};

namespace
{
//! Call f with every neuron of these models on this process, each on its own thread.
template < typename Function >
void
for_each_neuron( const Function& f )
{
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    const auto& nodes = nest::kernel().node_manager.get_local_nodes( tid );
    for ( auto it = nodes.begin(); it != nodes.end(); ++it )
    {
      nest::Node* const node = it->get_node();
      if ( auto* const neuron = dynamic_cast< Glif3Training< double >* >( node ) )
      {
        f( *neuron );
      }
      else if ( auto* const neuron32 = dynamic_cast< Glif3Training< float >* >( node ) )
      {
        f( *neuron32 );
      }
    }
  }
}
}
}

v1sim::Module v1sim_native_LTX_module;

extern "C"
{

//! Make one list of spikes a thread; to be called after the number of threads is set.
void
v1sim_prepare_recording()
{
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

//! While muted no neuron spikes, so that what is on its way arrives and nothing follows.
void
v1sim_set_muted( const int muted )
{
  v1sim::muted = muted != 0;
}

//! Every neuron and its input as after creation.
void
v1sim_reset_neurons()
{
  v1sim::for_each_neuron( []( auto& neuron ) { neuron.reset_state(); } );
}
}
