/*
 *  NEST's loop over the nodes of a thread, without those that are frozen.
 *
 *  In each slice NEST looks at every node of a thread whether it is frozen: with all neurons but one
 *  and all LGN cells but one frozen, that is most of NEST's own time at steps of 1 ms. Here NEST's list
 *  of a thread ends, for the time of a run, behind the first node that updates others; that node
 *  updates the few other nodes that are not frozen as well.
 *
 *  This writes to private members of NEST: it is off unless asked for. During a run nodes behind the end
 *  cannot be looked up by their ids, and nodes that are frozen or set free within a run are not noticed.
 *  Should NEST throw within a run, the list stays short until the next run begins, or the kernel is reset.
 */
#ifndef V1SIM_FROZEN_NODES_H
#define V1SIM_FROZEN_NODES_H

#include <cstddef>

#include "nest_time.h"
#include "node.h"

namespace v1sim
{

//! Whether it is asked for.
extern bool skips_frozen_nodes;

//! At the end of a run, and before the next: the list as NEST made it.
void restore_nodes( std::size_t tid );

//! Forget what was cut: the nodes are gone.
void forget_cuts();

//! To be called in each update by the first node of a thread that updates others, and by no other node.
void update_others( nest::Node& first, const nest::Time& origin, long from, long to );

} // namespace v1sim

#endif
