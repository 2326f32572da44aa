/*
 *  Where NEST keeps its connections. An explicit instantiation may name private members: the
 *  standard's own way to reach them. Every source file that includes this has its own.
 */
#ifndef V1SIM_CONNECTIONS_H
#define V1SIM_CONNECTIONS_H

#include <vector>

#include "connection_manager.h"
#include "connector_base.h"
#include "static_synapse.h"
#include "synapse.h"
#include "target_identifier.h"

namespace v1sim
{
namespace
{

template < typename Tag, typename Tag::type member >
struct Reach
{
  friend typename Tag::type
  reach( Tag )
  {
    return member;
  }
};

//! [ thread ][ synapse model ]
struct AllConnectors
{
  using type = std::vector< std::vector< nest::ConnectorBase* > > nest::ConnectionManager::*;
  friend type reach( AllConnectors );
};
template struct Reach< AllConnectors, &nest::ConnectionManager::connections_ >;

struct SourcesOfConnections
{
  using type = nest::SourceTable nest::ConnectionManager::*;
  friend type reach( SourcesOfConnections );
};
template struct Reach< SourcesOfConnections, &nest::ConnectionManager::source_table_ >;

//! [ thread ][ synapse model ]
struct NumbersOfConnections
{
  using type = std::vector< std::vector< std::size_t > > nest::ConnectionManager::*;
  friend type reach( NumbersOfConnections );
};
template struct Reach< NumbersOfConnections, &nest::ConnectionManager::num_connections_ >;

using StaticSynapse = nest::static_synapse< nest::TargetIdentifierPtrRport >;

//! The weight of NEST's static synapse, pA.
struct WeightOfStatic
{
  using type = double StaticSynapse::*;
  friend type reach( WeightOfStatic );
};
template struct Reach< WeightOfStatic, &StaticSynapse::weight_ >;

//! The synapses of a connector, by the type of synapse.
struct StaticRows
{
  using type = BlockVector< StaticSynapse > nest::Connector< StaticSynapse >::*;
  friend type reach( StaticRows );
};
template struct Reach< StaticRows, &nest::Connector< StaticSynapse >::C_ >;

struct DoubleRows
{
  using type = BlockVector< Synapse< double > > nest::Connector< Synapse< double > >::*;
  friend type reach( DoubleRows );
};
template struct Reach< DoubleRows, &nest::Connector< Synapse< double > >::C_ >;

struct SingleRows
{
  using type = BlockVector< Synapse< float > > nest::Connector< Synapse< float > >::*;
  friend type reach( SingleRows );
};
template struct Reach< SingleRows, &nest::Connector< Synapse< float > >::C_ >;

template < typename Of >
auto&
rows_of( nest::Connector< Of >& connector )
{
  if constexpr ( std::is_same_v< Of, StaticSynapse > )
  {
    return connector.*reach( StaticRows {} );
  }
  else if constexpr ( std::is_same_v< Of, Synapse< double > > )
  {
    return connector.*reach( DoubleRows {} );
  }
  else
  {
    return connector.*reach( SingleRows {} );
  }
}

} // namespace
} // namespace v1sim

#endif
