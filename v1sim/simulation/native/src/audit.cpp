/*
 *  Reads synapses out of NEST's connectors.
 *
 *  PyNEST makes a dict of every synapse (about 10 us and 2 kB each). Here each
 *  of NEST's threads walks its own connectors and adds up the digest that
 *  v1sim/digests.py defines, so that all that a network holds can be compared
 *  with what it should hold in a fraction of the time it took to connect.
 */
#include <bit>
#include <cstdint>
#include <vector>

#include "connection_manager_impl.h"
#include "connector_base.h"
#include "connector_base_impl.h"
#include "kernel_manager.h"
#include "model_manager_impl.h"
#include "static_synapse.h"
#include "target_identifier.h"

namespace
{
using Synapse = nest::static_synapse< nest::TargetIdentifierPtrRport >;
using SynapseConnector = nest::Connector< Synapse >;
using Connectors = std::vector< std::vector< nest::ConnectorBase* > >;

//! An explicit instantiation may name private members: the standard's own way to reach them.
template < typename Tag, typename Tag::type member >
struct Reach
{
  friend typename Tag::type
  reach( Tag )
  {
    return member;
  }
};

struct Weight
{
  using type = double Synapse::*;
  friend type reach( Weight );
};
template struct Reach< Weight, &Synapse::weight_ >;

struct Synapses
{
  using type = BlockVector< Synapse > SynapseConnector::*;
  friend type reach( Synapses );
};
template struct Reach< Synapses, &SynapseConnector::C_ >;

struct AllConnectors
{
  using type = Connectors nest::ConnectionManager::*;
  friend type reach( AllConnectors );
};
template struct Reach< AllConnectors, &nest::ConnectionManager::connections_ >;

//! Finaliser of SplitMix64, Steele et al. 2014, doi 10.1145/2714064.2660195.
std::uint64_t
mix( std::uint64_t word )
{
  word ^= word >> 30;
  word *= 0xBF58476D1CE4E5B9u;
  word ^= word >> 27;
  word *= 0x94D049BB133111EBu;
  word ^= word >> 31;
  return word;
}

constexpr std::uint64_t seeds[] = { 0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u };

enum Failure : std::int64_t
{
  unknown_model = -1,   //!< no synapse model of this name
  other_synapse = -2,   //!< the model is not a static synapse
  foreign_node = -3     //!< a synapse from or to a node that has no index
};

//! Index of each node, by node id; -1 where it has none.
struct Index
{
  const std::int64_t* of_node;
  std::int64_t n_nodes;

  std::int64_t
  operator()( const std::size_t node ) const
  {
    return static_cast< std::int64_t >( node ) < n_nodes ? of_node[ node ] : -1;
  }
};

struct Fields
{
  std::int64_t pre;
  std::int64_t post;
  std::uint64_t receptor;
  std::uint64_t delay_steps;
  double weight;
};

/**
 * Call visit( thread, fields ) with every synapse of a model, each of NEST's threads its own.
 * Returns the number of synapses, or a Failure.
 */
template < typename Visit >
std::int64_t
for_each_synapse( const char* model, const Index source_index, const Index target_index, const Visit& visit )
{
  nest::synindex syn_id;
  try
  {
    syn_id = nest::kernel().model_manager.get_synapse_model_id( model );
  }
  catch ( ... )
  {
    return unknown_model;
  }
  const auto& connectors = nest::kernel().connection_manager.*reach( AllConnectors {} );
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
  std::int64_t n = 0;
  std::int64_t failure = 0;
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads ) reduction( + : n ) reduction( min : failure )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    const nest::ConnectorBase* const base =
      syn_id < connectors[ tid ].size() ? connectors[ tid ][ syn_id ] : nullptr;
    if ( not base )
    {
      continue;
    }
    const auto* const connector = dynamic_cast< const SynapseConnector* >( base );
    if ( not connector )
    {
      failure = other_synapse;
      continue;
    }
    const auto& synapses = connector->*reach( Synapses {} );
    for ( std::size_t lcid = 0; lcid < synapses.size(); ++lcid )
    {
      const Synapse& synapse = synapses[ lcid ];
      if ( synapse.is_disabled() )
      {
        continue;
      }
      const Fields fields {
        source_index( nest::kernel().connection_manager.get_source_node_id( tid, syn_id, lcid ) ),
        target_index( synapse.get_target( tid )->get_node_id() ),
        static_cast< std::uint64_t >( synapse.get_rport() ) - 1,
        static_cast< std::uint64_t >( synapse.get_delay_steps() ),
        synapse.*reach( Weight {} )
      };
      if ( fields.pre < 0 or fields.post < 0 )
      {
        failure = foreign_node;
        break;
      }
      visit( tid, fields );
      ++n;
    }
  }
  return failure ? failure : n;
}
}

extern "C"
{

/**
 * Digest and counts of all synapses of a model on this process.
 *
 * sums[2] is the digest; counts[n_pre_classes][n_post_classes][n_receptors] counts synapses.
 */
std::int64_t
v1sim_audit( const char* model,
  const std::int64_t* source_index,
  const std::int64_t n_source_nodes,
  const std::int64_t* target_index,
  const std::int64_t n_target_nodes,
  const std::uint16_t* pre_class,
  const std::uint16_t* post_class,
  const std::int64_t n_pre_classes,
  const std::int64_t n_post_classes,
  const std::int64_t n_receptors,
  std::uint64_t* sums,
  std::int64_t* counts )
{
  const auto n_threads = static_cast< std::size_t >( nest::kernel().vp_manager.get_num_threads() );
  const std::size_t n_counts = n_pre_classes * n_post_classes * n_receptors;
  struct alignas( 64 ) Total
  {
    std::uint64_t sums[ 2 ] = { 0, 0 };
    std::vector< std::int64_t > counts;
  };
  std::vector< Total > totals( n_threads );
  for ( auto& total : totals )
  {
    total.counts.assign( n_counts, 0 );
  }
  const auto n = for_each_synapse( model,
    { source_index, n_source_nodes },
    { target_index, n_target_nodes },
    [ & ]( const int tid, const Fields& f )
    {
      const std::uint64_t ends = static_cast< std::uint64_t >( f.pre ) << 32 | static_cast< std::uint64_t >( f.post );
      const std::uint64_t kind = f.receptor << 16 | f.delay_steps;
      const auto bits = std::bit_cast< std::uint64_t >( f.weight + 0.0 );
      auto& total = totals[ tid ];
      for ( int lane = 0; lane < 2; ++lane )
      {
        total.sums[ lane ] += mix( mix( mix( ends ^ seeds[ lane ] ) + kind ) ^ bits );
      }
      if ( f.receptor < static_cast< std::uint64_t >( n_receptors ) )
      {
        ++total.counts[ ( pre_class[ f.pre ] * n_post_classes + post_class[ f.post ] ) * n_receptors + f.receptor ];
      }
    } );
  for ( const auto& total : totals )
  {
    sums[ 0 ] += total.sums[ 0 ];
    sums[ 1 ] += total.sums[ 1 ];
    for ( std::size_t i = 0; i < n_counts; ++i )
    {
      counts[ i ] += total.counts[ i ];
    }
  }
  return n;
}

/**
 * All synapses of a model on this process as arrays of the given capacity.
 * Returns how many there are (no more than capacity are written), or a failure.
 */
std::int64_t
v1sim_synapses( const char* model,
  const std::int64_t* source_index,
  const std::int64_t n_source_nodes,
  const std::int64_t* target_index,
  const std::int64_t n_target_nodes,
  const std::int64_t capacity,
  std::int64_t* pre,
  std::int64_t* post,
  std::int64_t* receptor,
  std::int64_t* delay_steps,
  double* weight )
{
  std::int64_t next = 0;
  return for_each_synapse( model,
    { source_index, n_source_nodes },
    { target_index, n_target_nodes },
    [ & ]( const int, const Fields& f )
    {
      std::int64_t i;
#pragma omp atomic capture
      i = next++;
      if ( i < capacity )
      {
        pre[ i ] = f.pre;
        post[ i ] = f.post;
        receptor[ i ] = static_cast< std::int64_t >( f.receptor );
        delay_steps[ i ] = static_cast< std::int64_t >( f.delay_steps );
        weight[ i ] = f.weight;
      }
    } );
}
}
