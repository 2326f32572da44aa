#include "spike_record.h"

#include <limits>

#include "exceptions.h"
#include "kernel_manager.h"

namespace v1sim
{

bool muted = false;

std::vector< std::vector< RecordedSpike > >&
recorded_spikes()
{
  static std::vector< std::vector< RecordedSpike > > spikes;
  return spikes;
}

void
assert_spikes_can_be_recorded( const std::size_t node_id )
{
  if ( node_id > std::numeric_limits< decltype( RecordedSpike::node ) >::max() )
  {
    throw nest::KernelException( "v1sim records node ids of 32 bits" );
  }
  if ( recorded_spikes().size() < static_cast< std::size_t >( nest::kernel().vp_manager.get_num_threads() ) )
  {
    throw nest::KernelException( "v1sim_prepare() was not called for this number of threads" );
  }
}

} // namespace v1sim
