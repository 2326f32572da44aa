#include "glif_psc_reset.h"

#include <algorithm>

#include "ring_buffer_impl.h"

namespace v1sim
{
namespace
{
void ( *reset_members )( nest::glif_psc& ) = nullptr;

/*
 * NEST lets V_m and the after-spike currents be set, not the synaptic currents and
 * what the ring buffers hold. An explicit instantiation may name private
 * members: the standard's own way to reach them.
 */
template < auto parameters, auto state, auto buffers >
struct ReachMembers
{
  static void
  reset( nest::glif_psc& neuron )
  {
    const auto& p = neuron.*parameters;
    auto& s = neuron.*state;
    s.U_ = p.V_reset_;
    s.I_ = 0.0;
    s.I_syn_ = 0.0;
    s.refractory_steps_ = 0;
    s.ASCurrents_sum_ = 0.0;
    std::ranges::fill( s.ASCurrents_, 0.0 );
    std::ranges::fill( s.y1_, 0.0 );
    std::ranges::fill( s.y2_, 0.0 );
    auto& b = neuron.*buffers;
    for ( auto& buffer : b.spikes_ )
    {
      buffer.clear();
    }
    b.currents_.clear();
  }

  static inline const bool known = ( reset_members = &reset, true );
};
template struct ReachMembers< &nest::glif_psc::P_, &nest::glif_psc::S_, &nest::glif_psc::B_ >;
}

void
reset_glif_psc( nest::glif_psc& neuron )
{
  reset_members( neuron );
}
}
