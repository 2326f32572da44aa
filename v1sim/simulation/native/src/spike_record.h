/*
 *  Spikes that the models of this module record themselves, 8 bytes each: NEST's spike_recorder
 *  costs 32 kB for each neuron that is connected to it.
 */
#ifndef V1SIM_SPIKE_RECORD_H
#define V1SIM_SPIKE_RECORD_H

#include <cstdint>
#include <vector>

namespace v1sim
{

//! Spikes of all neurons of these models since they were last taken.
struct RecordedSpike
{
  std::uint32_t node;
  std::uint32_t step;  //!< NEST's step: its time stamp in steps
};

//! One list a thread.
std::vector< std::vector< RecordedSpike > >& recorded_spikes();

//! Throws nest::KernelException where spikes cannot be recorded.
void assert_spikes_can_be_recorded( std::size_t node_id );

//! While true no neuron spikes: what is on its way arrives and nothing follows.
extern bool muted;

} // namespace v1sim

#endif
