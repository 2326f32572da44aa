/*
 *  Puts the synapses of a projection into NEST's connectors.
 *
 *  nest.Connect looks at each synapse by itself and parses a dictionary for each; here the
 *  columns of a file go where NEST keeps its synapses, each of NEST's threads its own: first
 *  they are counted by source, then each is written to its place, and the synapses of a source
 *  are sorted as NEST's preparation would sort them. The first synapse of each thread
 *  is connected by NEST itself, which then knows of the rest what it has to know.
 */
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection_manager_impl.h"
#include "connections.h"
#include "dictionary.h"
#include "exceptions.h"
#include "kernel_manager.h"
#include "model_manager_impl.h"
#include "nest_names.h"
#include "synapse.h"
#include "threads.h"

namespace v1sim
{
namespace
{
//! Columns of a block of synapses: node ids, receptor from 0, steps, normalised weight.
struct Columns
{
  std::size_t n;
  const std::int64_t* pre;
  const std::int64_t* post;
  const std::uint8_t* receptor;
  const std::int32_t* delay_steps;
  const float* weight;
};

class Filling
{
public:
  virtual ~Filling() = default;
  virtual void count( const Columns& ) = 0;
  virtual void write( const Columns& ) = 0;
  virtual void finish() = 0;
};

template < typename Real >
class FillingOf : public Filling
{
public:
  explicit FillingOf( const nest::synindex syn_id )
    : syn_id_( syn_id )
    , threads_( nest::kernel().vp_manager.get_num_threads() )
  {
    on_each_thread( [ this ]( const std::size_t tid ) { threads_[ tid ].know_neurons( tid ); } );
  }

  void
  count( const Columns& block ) override
  {
    on_each_thread( [ & ]( const std::size_t tid ) { threads_[ tid ].count( block, tid, syn_id_ ); } );
  }

  void
  write( const Columns& block ) override
  {
    on_each_thread( [ & ]( const std::size_t tid ) { threads_[ tid ].write( block, tid, syn_id_ ); } );
  }

  void
  finish() override
  {
    on_each_thread( [ & ]( const std::size_t tid ) { threads_[ tid ].finish(); } );
    nest::kernel().connection_manager.set_connections_have_changed();
  }

private:
  struct alignas( 64 ) OfThread
  {
    //! Index in the hub by node id.
    std::vector< std::uint32_t > index;
    //! Number of synapses, then position of the next one, by node id of the source.
    std::vector< std::size_t > of_source;
    std::vector< bool > delay_is_checked;
    std::size_t n = 0;
    BlockVector< Synapse< Real > >* rows = nullptr;
    std::size_t first = 0;

    static constexpr std::uint32_t none = ~0u;

    void
    know_neurons( const std::size_t tid )
    {
      if ( not has_hub< Real >( tid ) )
      {
        return;
      }
      hub< Real >( tid ).fix_receptors();
      for ( const auto* const neuron : hub< Real >( tid ).neurons() )
      {
        index.resize( std::max( index.size(), neuron->get_node_id() + 1 ), none );
        index[ neuron->get_node_id() ] = neuron->index();
      }
    }

    std::uint32_t
    index_of( const std::int64_t node ) const
    {
      return static_cast< std::size_t >( node ) < index.size() ? index[ node ] : none;
    }

    void
    count( const Columns& block, const std::size_t tid, const nest::synindex syn_id )
    {
      for ( std::size_t i = 0; i < block.n; ++i )
      {
        const std::uint32_t neuron = index_of( block.post[ i ] );
        if ( neuron == none )
        {
          continue;
        }
        check( block, i, tid, neuron );
        if ( n++ == 0 )
        {
          connect_first( block, i, tid, syn_id );
        }
        const auto source = static_cast< std::size_t >( block.pre[ i ] );
        if ( source >= of_source.size() )
        {
          of_source.resize( std::max( source + 1, of_source.size() * 2 ) );
        }
        ++of_source[ source ];
      }
    }

    void
    check( const Columns& block, const std::size_t i, const std::size_t tid, const std::uint32_t neuron )
    {
      auto& target = *hub< Real >( tid ).neurons()[ neuron ];
      if ( block.receptor[ i ] >= target.constants().n_receptors() )
      {
        throw nest::IncompatibleReceptorType( block.receptor[ i ] + 1, target.get_name(), "SpikeEvent" );
      }
      if ( block.pre[ i ] < 1 or static_cast< std::size_t >( block.pre[ i ] ) > nest::kernel().node_manager.size() )
      {
        throw nest::UnknownNode( block.pre[ i ] );
      }
      const auto delay = static_cast< std::size_t >( block.delay_steps[ i ] );
      if ( delay >= delay_is_checked.size() )
      {
        delay_is_checked.resize( std::min( delay, std::size_t( 1 ) << nest::NUM_BITS_DELAY ) + 1 );
      }
      if ( delay >= delay_is_checked.size() or not delay_is_checked[ delay ] )
      {
        nest::kernel().connection_manager.get_delay_checker().assert_valid_delay_ms(
          nest::Time::delay_steps_to_ms( block.delay_steps[ i ] ) );
        delay_is_checked[ delay ] = true;
      }
      target.has_synapse();
      hub< Real >( tid ).use( neuron, block.receptor[ i ] );
    }

    void
    connect_first( const Columns& block, const std::size_t i, const std::size_t tid, const nest::synindex syn_id )
    {
      Dictionary parameters;
      parameters[ nest::names::receptor_type ] = static_cast< long >( block.receptor[ i ] + 1 );
      auto* const target = hub< Real >( tid ).neurons()[ index_of( block.post[ i ] ) ];
      nest::kernel().connection_manager.connect( block.pre[ i ],
        target,
        tid,
        syn_id,
        parameters,
        nest::Time::delay_steps_to_ms( block.delay_steps[ i ] ),
        1.0 );
    }

    //! Make room for all synapses but the first, which is there.
    void
    make_room( const std::size_t tid, const nest::synindex syn_id )
    {
      auto& connections = nest::kernel().connection_manager;
      auto* const base = ( connections.*reach( AllConnectors {} ) )[ tid ][ syn_id ];
      auto& connector = dynamic_cast< nest::Connector< Synapse< Real > >& >( *base );
      auto& sources = ( connections.*reach( SourcesOfConnections {} ) ).get_thread_local_sources( tid )[ syn_id ];
      rows = &rows_of( connector );
      first = rows->size() - 1;
      const Synapse< Real > one( syn_id, 0, 1, 0.0f );
      for ( std::size_t i = 1; i < n; ++i )
      {
        rows->push_back( one );
      }
      std::size_t position = first;
      for ( std::size_t source = 0; source < of_source.size(); ++source )
      {
        const std::size_t number = of_source[ source ];
        of_source[ source ] = position;
        const nest::Source entry( source, true );
        for ( std::size_t i = 0; i < number; ++i, ++position )
        {
          if ( position == first )
          {
            sources[ position ] = entry;
          }
          else
          {
            sources.push_back( entry );
          }
        }
      }
      ( connections.*reach( NumbersOfConnections {} ) )[ tid ][ syn_id ] += n - 1;
    }

    void
    write( const Columns& block, const std::size_t tid, const nest::synindex syn_id )
    {
      if ( n and not rows )
      {
        make_room( tid, syn_id );
      }
      for ( std::size_t i = 0; i < block.n; ++i )
      {
        const std::uint32_t neuron = index_of( block.post[ i ] );
        if ( neuron == none )
        {
          continue;
        }
        ( *rows )[ of_source[ block.pre[ i ] ]++ ] = Synapse< Real >( syn_id,
          hub< Real >( tid ).place( neuron, block.receptor[ i ] ),
          static_cast< std::uint32_t >( block.delay_steps[ i ] ),
          block.weight[ i ] );
      }
    }

    void
    finish()
    {
      // of_source now holds the end of each row.
      std::vector< Synapse< Real > > row;
      std::size_t begin = first;
      for ( const std::size_t end : of_source )
      {
        if ( end <= begin )
        {
          continue;
        }
        row.clear();
        for ( std::size_t i = begin; i < end; ++i )
        {
          row.push_back( ( *rows )[ i ] );
        }
        sort_row( row );
        for ( const auto& synapse : row )
        {
          ( *rows )[ begin++ ] = synapse;
        }
      }
    }
  };

  const nest::synindex syn_id_;
  std::vector< OfThread > threads_;
};

std::unique_ptr< Filling > filling;
std::string error_message;

//! Call f(); false if it threw, and then error_message says what.
template < typename Function >
int
succeeds( const Function& f )
{
  try
  {
    f();
    return 1;
  }
  catch ( const std::exception& error )
  {
    error_message = error.what();
  }
  filling.reset();
  return 0;
}
}
}

extern "C"
{

//! What went wrong in the function that returned 0 last.
const char*
v1sim_error_message()
{
  return v1sim::error_message.c_str();
}

/**
 * Begin to fill a synapse model: then comes v1sim_count_synapses() with all blocks of synapses, v1sim_write_synapses() with the
 * same, and v1sim_finish_filling(). Each returns 0 if it failed. Synapses onto neurons of other processes are left out.
 */
int
v1sim_begin_filling( const char* model )
{
  return v1sim::succeeds(
    [ & ]
    {
      const auto syn_id = nest::kernel().model_manager.get_synapse_model_id( model );
      const auto& connector_model = nest::kernel().model_manager.get_connection_model( syn_id, 0 );
      if ( dynamic_cast< const nest::GenericConnectorModel< v1sim::Synapse< double > >* >( &connector_model ) )
      {
        v1sim::filling = std::make_unique< v1sim::FillingOf< double > >( syn_id );
      }
      else if ( dynamic_cast< const nest::GenericConnectorModel< v1sim::Synapse< float > >* >( &connector_model ) )
      {
        v1sim::filling = std::make_unique< v1sim::FillingOf< float > >( syn_id );
      }
      else
      {
        throw nest::IllegalConnection( "This model's synapses are not v1sim's." );
      }
    } );
}

int
v1sim_count_synapses( const std::int64_t n,
  const std::int64_t* pre,
  const std::int64_t* post,
  const std::uint8_t* receptor,
  const std::int32_t* delay_steps )
{
  return v1sim::succeeds(
    [ & ] { v1sim::filling->count( { static_cast< std::size_t >( n ), pre, post, receptor, delay_steps, nullptr } ); } );
}

int
v1sim_write_synapses( const std::int64_t n,
  const std::int64_t* pre,
  const std::int64_t* post,
  const std::uint8_t* receptor,
  const std::int32_t* delay_steps,
  const float* weight )
{
  return v1sim::succeeds(
    [ & ] { v1sim::filling->write( { static_cast< std::size_t >( n ), pre, post, receptor, delay_steps, weight } ); } );
}

int
v1sim_finish_filling()
{
  return v1sim::succeeds(
    []
    {
      v1sim::filling->finish();
      v1sim::filling.reset();
    } );
}
}
