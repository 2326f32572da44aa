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
#include <optional>
#include <vector>

#include "connection_manager_impl.h"
#include "connections.h"
#include "connector_base.h"
#include "connector_base_impl.h"
#include "kernel_manager.h"
#include "model_manager_impl.h"
#include "random_words.h"
#include "synapse.h"

namespace
{
using v1sim::StaticSynapse;

constexpr std::uint64_t seeds[] = { 0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u };

enum Failure : std::int64_t
{
  unknown_model = -1,   //!< no synapse model of this name
  other_synapse = -2,   //!< the model is neither v1sim's synapse nor a static one
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

//! What synapses of a connector hold but for their source.
template < typename Synapse >
class Reader;

template <>
class Reader< StaticSynapse >
{
public:
  Reader( const std::size_t tid, const Index target_index )
    : tid_( tid )
    , target_index_( target_index )
  {
  }

  Fields
  operator()( const StaticSynapse& synapse ) const
  {
    return { -1,
      target_index_( synapse.get_target( tid_ )->get_node_id() ),
      static_cast< std::uint64_t >( synapse.get_rport() ) - 1,
      static_cast< std::uint64_t >( synapse.get_delay_steps() ),
      synapse.*reach( v1sim::WeightOfStatic {} ) };
  }

private:
  std::size_t tid_;
  Index target_index_;
};

template < typename Real >
class Reader< v1sim::Synapse< Real > >
{
public:
  Reader( const std::size_t tid, const Index target_index )
    : hub_( v1sim::hub< Real >( tid ) )
  {
    for ( const auto* const neuron : hub_.neurons() )
    {
      post_.push_back( target_index( neuron->get_node_id() ) );
    }
  }

  Fields
  operator()( const v1sim::Synapse< Real >& synapse ) const
  {
    return { -1,
      post_[ hub_.neuron_of( synapse.place() ) ],
      hub_.receptor_of( synapse.place() ),
      synapse.delay(),
      synapse.weight_pa( hub_ ) };
  }

private:
  const v1sim::Hub< Real >& hub_;
  std::vector< std::int64_t > post_; //!< index of each neuron of the hub
};

/**
 * Call visit( thread, fields ) with the synapses of a connector; their number, or a Failure. Nothing where the
 * connector is one of other synapses.
 */
template < typename Synapse, typename Visit >
std::optional< std::int64_t >
visit_connector( nest::ConnectorBase& base,
  const std::size_t tid,
  const Index source_index,
  const Index target_index,
  const Visit& visit )
{
  auto* const connector = dynamic_cast< nest::Connector< Synapse >* >( &base );
  if ( not connector )
  {
    return {};
  }
  const auto& rows = v1sim::rows_of( *connector );
  const auto syn_id = base.get_syn_id();
  const Reader< Synapse > fields_of( tid, target_index );
  std::int64_t n = 0;
  for ( std::size_t lcid = 0; lcid < rows.size(); ++lcid )
  {
    if ( rows[ lcid ].is_disabled() )
    {
      continue;
    }
    Fields fields = fields_of( rows[ lcid ] );
    fields.pre = source_index( nest::kernel().connection_manager.get_source_node_id( tid, syn_id, lcid ) );
    if ( fields.pre < 0 or fields.post < 0 )
    {
      return foreign_node;
    }
    visit( tid, fields );
    ++n;
  }
  return n;
}

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
  const auto& connectors = nest::kernel().connection_manager.*reach( v1sim::AllConnectors {} );
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
  std::int64_t total = 0;
  std::int64_t failure = 0;
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads ) reduction( + : total ) reduction( min : failure )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    nest::ConnectorBase* const base =
      syn_id < connectors[ tid ].size() ? connectors[ tid ][ syn_id ] : nullptr;
    if ( not base )
    {
      continue;
    }
    auto n = visit_connector< v1sim::Synapse< double > >( *base, tid, source_index, target_index, visit );
    if ( not n )
    {
      n = visit_connector< v1sim::Synapse< float > >( *base, tid, source_index, target_index, visit );
    }
    if ( not n )
    {
      n = visit_connector< StaticSynapse >( *base, tid, source_index, target_index, visit );
    }
    const std::int64_t found = n.value_or( other_synapse );
    ( found < 0 ? failure : total ) += found;
  }
  return failure ? failure : total;
}

/**
 * Call visit( thread, fields ) with the background weight of every neuron and receptor that has one, as a synapse of
 * one step from source 0; the weight in pA is that of one event of event_weight.
 */
template < typename Real, typename Visit >
std::int64_t
for_each_background_weight_of( const Index target_index, const double event_weight, const Visit& visit )
{
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
  std::int64_t total = 0;
  std::int64_t failure = 0;
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads ) reduction( + : total ) reduction( min : failure )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    if ( not v1sim::has_hub< Real >( tid ) )
    {
      continue;
    }
    const auto& hub = v1sim::hub< Real >( tid );
    for ( const auto* const neuron : hub.neurons() )
    {
      const double scale = neuron->constants().scale_mv * event_weight;
      const std::int64_t post = target_index( neuron->get_node_id() );
      for ( std::size_t receptor = 0; receptor < hub.n_receptors(); ++receptor )
      {
        const float weight = hub.background_weight( neuron->index(), receptor );
        if ( weight == 0 )
        {
          continue;
        }
        if ( post < 0 )
        {
          failure = foreign_node;
          continue;
        }
        visit( tid, Fields { 0, post, receptor, 1, weight * scale } );
        ++total;
      }
    }
  }
  return failure ? failure : total;
}

//! The same for neurons of either precision.
template < typename Visit >
std::int64_t
for_each_background_weight( const Index target_index, const double event_weight, const Visit& visit )
{
  const std::int64_t n = for_each_background_weight_of< double >( target_index, event_weight, visit );
  const std::int64_t n_single = for_each_background_weight_of< float >( target_index, event_weight, visit );
  return n < 0 or n_single < 0 ? foreign_node : n + n_single;
}

//! Add what v1sim/digests.py adds for a synapse.
inline void
add_to_digest( const Fields& f, std::uint64_t* const sums )
{
  const std::uint64_t ends = static_cast< std::uint64_t >( f.pre ) << 32 | static_cast< std::uint64_t >( f.post );
  const std::uint64_t kind = f.receptor << 16 | f.delay_steps;
  const auto bits = std::bit_cast< std::uint64_t >( f.weight + 0.0 );
  for ( int lane = 0; lane < 2; ++lane )
  {
    sums[ lane ] += v1sim::mix( v1sim::mix( v1sim::mix( ends ^ seeds[ lane ] ) + kind ) ^ bits );
  }
}

//! Digest, and counts by receptor, of the synapses that for_each( visit ) shows.
template < typename ForEach >
std::int64_t
digest_and_counts( const ForEach& for_each,
  const std::int64_t n_receptors,
  std::uint64_t* sums,
  std::int64_t* counts )
{
  const auto n_threads = static_cast< std::size_t >( nest::kernel().vp_manager.get_num_threads() );
  struct alignas( 64 ) Total
  {
    std::uint64_t sums[ 2 ] = { 0, 0 };
    std::vector< std::int64_t > counts;
  };
  std::vector< Total > totals( n_threads );
  for ( auto& total : totals )
  {
    total.counts.assign( n_receptors, 0 );
  }
  const auto n = for_each(
    [ & ]( const int tid, const Fields& f )
    {
      auto& total = totals[ tid ];
      add_to_digest( f, total.sums );
      if ( f.receptor < static_cast< std::uint64_t >( n_receptors ) )
      {
        ++total.counts[ f.receptor ];
      }
    } );
  for ( const auto& total : totals )
  {
    sums[ 0 ] += total.sums[ 0 ];
    sums[ 1 ] += total.sums[ 1 ];
    for ( std::int64_t i = 0; i < n_receptors; ++i )
    {
      counts[ i ] += total.counts[ i ];
    }
  }
  return n;
}

//! Where arrays of synapses are to go.
struct SynapseArrays
{
  std::int64_t capacity;
  std::int64_t* pre;
  std::int64_t* post;
  std::int64_t* receptor;
  std::int64_t* delay_steps;
  double* weight;
};

//! Write the synapses that for_each( visit ) shows, no more than there is room for; how many there are, or a failure.
template < typename ForEach >
std::int64_t
write_columns( const ForEach& for_each, const SynapseArrays& to )
{
  std::int64_t next = 0;
  return for_each(
    [ & ]( const int, const Fields& f )
    {
      std::int64_t i;
#pragma omp atomic capture
      i = next++;
      if ( i < to.capacity )
      {
        to.pre[ i ] = f.pre;
        to.post[ i ] = f.post;
        to.receptor[ i ] = static_cast< std::int64_t >( f.receptor );
        to.delay_steps[ i ] = static_cast< std::int64_t >( f.delay_steps );
        to.weight[ i ] = f.weight;
      }
    } );
}
}

extern "C"
{

/**
 * Digest and counts of all synapses of a model on this process.
 *
 * sums[2] is the digest; counts[n_receptors] counts synapses.
 */
std::int64_t
v1sim_audit( const char* model,
  const std::int64_t* source_index,
  const std::int64_t n_source_nodes,
  const std::int64_t* target_index,
  const std::int64_t n_target_nodes,
  const std::int64_t n_receptors,
  std::uint64_t* sums,
  std::int64_t* counts )
{
  return digest_and_counts( [ & ]( const auto& visit )
    { return for_each_synapse( model, { source_index, n_source_nodes }, { target_index, n_target_nodes }, visit ); },
    n_receptors,
    sums,
    counts );
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
  return write_columns( [ & ]( const auto& visit )
    { return for_each_synapse( model, { source_index, n_source_nodes }, { target_index, n_target_nodes }, visit ); },
    { capacity, pre, post, receptor, delay_steps, weight } );
}

//! As v1sim_audit(): the background weights that neurons hold, as synapses from source 0, in pA of an event.
std::int64_t
v1sim_audit_background( const std::int64_t* target_index,
  const std::int64_t n_target_nodes,
  const double event_weight,
  const std::int64_t n_receptors,
  std::uint64_t* sums,
  std::int64_t* counts )
{
  const Index index { target_index, n_target_nodes };
  return digest_and_counts( [ & ]( const auto& visit )
    { return for_each_background_weight( index, event_weight, visit ); },
    n_receptors,
    sums,
    counts );
}

//! As v1sim_synapses(): the background weights that neurons hold.
std::int64_t
v1sim_background_weights( const std::int64_t* target_index,
  const std::int64_t n_target_nodes,
  const double event_weight,
  const std::int64_t capacity,
  std::int64_t* pre,
  std::int64_t* post,
  std::int64_t* receptor,
  std::int64_t* delay_steps,
  double* weight )
{
  const Index index { target_index, n_target_nodes };
  return write_columns( [ & ]( const auto& visit )
    { return for_each_background_weight( index, event_weight, visit ); },
    { capacity, pre, post, receptor, delay_steps, weight } );
}

/**
 * Digest of columns of synapses as v1sim/digests.py defines it, on all threads: sums[2]. The weight is normalised; the
 * scale of each target makes it pA.
 */
void
v1sim_digest( const std::int64_t n,
  const std::int32_t* pre,
  const std::int32_t* post,
  const std::uint8_t* receptor,
  const std::int32_t* delay_steps,
  const float* weight,
  const double* scale,
  std::uint64_t* sums )
{
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
#pragma omp parallel for schedule( static ) num_threads( n_threads ) reduction( + : first, second )
  for ( std::int64_t i = 0; i < n; ++i )
  {
    std::uint64_t mine[ 2 ] = { 0, 0 };
    add_to_digest( { pre[ i ],
                     post[ i ],
                     receptor[ i ],
                     static_cast< std::uint64_t >( delay_steps[ i ] ),
                     weight[ i ] * scale[ post[ i ] ] },
      mine );
    first += mine[ 0 ];
    second += mine[ 1 ];
  }
  sums[ 0 ] = first;
  sums[ 1 ] = second;
}
}
