#include "connections.h"

#include "synapse.h"

namespace v1sim
{
template struct Reach< AllConnectors, &nest::ConnectionManager::connections_ >;
template struct Reach< SourcesOfConnections, &nest::ConnectionManager::source_table_ >;
template struct Reach< NumbersOfConnections, &nest::ConnectionManager::num_connections_ >;

template struct Reach< WeightOfStatic, &StaticSynapse::weight_ >;
template struct Reach< Rows< StaticSynapse >, &nest::Connector< StaticSynapse >::C_ >;
template struct Reach< Rows< Synapse< double > >, &nest::Connector< Synapse< double > >::C_ >;
template struct Reach< Rows< Synapse< float > >, &nest::Connector< Synapse< float > >::C_ >;
}
