/*
 *  Where NEST keeps its connections. An explicit instantiation may name private members: the
 *  standard's own way to reach them.
 */
#ifndef V1SIM_CONNECTIONS_H
#define V1SIM_CONNECTIONS_H

#include <vector>

#include "connection_manager.h"
#include "connector_base.h"
#include "static_synapse.h"
#include "target_identifier.h"

namespace v1sim
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

struct SourcesOfConnections
{
  using type = nest::SourceTable nest::ConnectionManager::*;
  friend type reach( SourcesOfConnections );
};

//! [ thread ][ synapse model ]
struct NumbersOfConnections
{
  using type = std::vector< std::vector< std::size_t > > nest::ConnectionManager::*;
  friend type reach( NumbersOfConnections );
};

//! The synapses of a connector.
template < typename Synapse >
struct Rows
{
  using type = BlockVector< Synapse > nest::Connector< Synapse >::*;
  friend type reach( Rows );
};

using StaticSynapse = nest::static_synapse< nest::TargetIdentifierPtrRport >;

//! The weight of NEST's static synapse, pA.
struct WeightOfStatic
{
  using type = double StaticSynapse::*;
  friend type reach( WeightOfStatic );
};

} // namespace v1sim

#endif
