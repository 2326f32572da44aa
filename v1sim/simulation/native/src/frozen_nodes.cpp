#include "frozen_nodes.h"

#include <array>
#include <vector>

#include "block_vector.h"
#include "kernel_manager.h"
#include "sparse_node_array.h"
#include "threads.h"

namespace v1sim
{

bool skips_frozen_nodes = false;

namespace
{
//! An explicit instantiation may name private members: the standard's own way to reach them.
template < typename Tag, typename Tag::type member >
struct ReachNodes
{
  friend typename Tag::type
  reach( Tag )
  {
    return member;
  }
};

using Entries = BlockVector< nest::SparseNodeArray::NodeEntry >;

struct LocalNodes
{
  using type = std::vector< nest::SparseNodeArray > nest::NodeManager::*;
  friend type reach( LocalNodes );
};
template struct ReachNodes< LocalNodes, &nest::NodeManager::local_nodes_ >;

struct NodeEntries
{
  using type = Entries nest::SparseNodeArray::*;
  friend type reach( NodeEntries );
};
template struct ReachNodes< NodeEntries, &nest::SparseNodeArray::nodes_ >;

struct EndOfEntries
{
  using type = Entries::iterator Entries::*;
  friend type reach( EndOfEntries );
};
template struct ReachNodes< EndOfEntries, &Entries::finish_ >;

Entries&
entries_of( const std::size_t tid )
{
  return ( nest::kernel().node_manager.*reach( LocalNodes {} ) )[ tid ].*reach( NodeEntries {} );
}

struct alignas( 64 ) Cut
{
  bool is_on = false;
  Entries::iterator end;             //!< that of NEST
  std::vector< nest::Node* > others; //!< not frozen, and behind the end that NEST sees
};

std::array< Cut, max_threads > cuts;

void
cut_nodes( nest::Node& first )
{
  Cut& cut = cuts[ first.get_thread() ];
  Entries& entries = entries_of( first.get_thread() );
  auto it = entries.begin();
  while ( it->get_node() != &first )
  {
    ++it;
  }
  const auto behind = ++it;
  cut.others.clear();
  for ( ; it != entries.end(); ++it )
  {
    if ( not it->get_node()->is_frozen() )
    {
      cut.others.push_back( it->get_node() );
    }
  }
  cut.end = entries.*reach( EndOfEntries {} );
  entries.*reach( EndOfEntries {} ) = behind;
  cut.is_on = true;
}
}

void
restore_nodes( const std::size_t tid )
{
  Cut& cut = cuts[ tid ];
  if ( cut.is_on )
  {
    entries_of( tid ).*reach( EndOfEntries {} ) = cut.end;
    cut.is_on = false;
  }
}

void
forget_cuts()
{
  for ( Cut& cut : cuts )
  {
    cut.is_on = false;
  }
}

void
update_others( nest::Node& first, const nest::Time& origin, const long from, const long to )
{
  if ( not skips_frozen_nodes )
  {
    return;
  }
  Cut& cut = cuts[ first.get_thread() ];
  if ( not cut.is_on )
  {
    cut_nodes( first );
  }
  for ( nest::Node* const node : cut.others )
  {
    node->update( origin, from, to );
  }
}

} // namespace v1sim
