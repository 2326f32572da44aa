#include "sweep.h"

#include <cstring>

#if defined( __x86_64__ ) && defined( __GLIBC__ ) && defined( __GNUC__ ) && not defined( __clang__ )
#define V1SIM_CLONES __attribute__( ( target_clones( "avx2", "default" ) ) )
#else
#define V1SIM_CLONES
#endif

namespace v1sim
{
namespace
{
//! known_receptors is 0 where the compiler does not know the number, which then is in the Sweep.
template < std::size_t known_receptors, bool hard_reset, typename Real >
inline __attribute__( ( always_inline ) ) std::size_t
advance_blocks( const Sweep< Real >& s )
{
  using Vector = typename VectorOf< Real >::type;
  const std::size_t n_receptors = known_receptors ? known_receptors : s.n_receptors;
  const Vector zero {};
  const Vector one = zero + Real( 1 );
  const Vector threshold = zero + s.threshold;
  const Vector dt = zero + s.dt;
  std::size_t n_spikes = 0;
  for ( std::size_t b = 0; b < s.n_blocks; ++b )
  {
    CellState< Real >& cell = s.cells[ b ];
    const CellConstants< Real >& c = s.cell_constants[ s.kind[ b ] ];
    const ReceptorConstants< Real >* const of_receptor = s.receptor_constants + s.kind[ b ] * n_receptors;
    ReceptorState< Real >* const receptor = s.receptors + b * n_receptors;
    Lanes< Real >* const input = s.input + b * n_receptors;
    const Vector z = cell.z;
    const std::uint32_t used = s.used[ b ];
    Vector current {};
    for ( std::size_t i = 0; i < n_receptors; ++i )
    {
      // All is 0 of a receptor without input: in the models of V1 excitatory cells have two and inhibitory
      // cells the two others, so that half of the memory need not be looked at.
      if ( i < n_use_bits and not( used >> i & 1 ) )
      {
        continue;
      }
      current += receptor[ i ].psc;
      Vector arriving = input[ i ].of;
      if ( s.background )
      {
        arriving += s.background_factor * s.background[ b * n_receptors + i ].of;
      }
      const Vector rise = receptor[ i ].rise;
      receptor[ i ].psc = of_receptor[ i ].decay * receptor[ i ].psc + of_receptor[ i ].dt_decay * rise;
      receptor[ i ].rise = of_receptor[ i ].decay * rise + arriving * of_receptor[ i ].psc_initial;
      input[ i ].of = zero;
    }
    for ( std::size_t j = 0; j < n_after_spike_currents; ++j )
    {
      current += cell.asc[ j ];
      cell.asc[ j ] = c.asc_decay[ j ] * cell.asc[ j ] + z * c.asc_amp[ j ];
    }
    const Vector r = cell.r + z * c.t_ref - dt;
    cell.r = r > zero ? r : zero;
    cell.v = c.decay * cell.v + c.current_factor * current + z * c.reset;
    if constexpr ( hard_reset )
    {
      cell.v = cell.r > c.held_above ? c.held_v : cell.v;
    }
    const auto spikes = ( cell.v > threshold ) & ( cell.r <= zero );
    cell.z = spikes ? one : zero;
    std::uint64_t words[ sizeof( Vector ) / sizeof( std::uint64_t ) ];
    std::memcpy( words, &spikes, sizeof words );
    std::uint64_t any = 0;
    for ( const auto word : words )
    {
      any |= word;
    }
    if ( __builtin_expect( any != 0, 0 ) )
    {
      for ( std::size_t lane = 0; lane < n_lanes; ++lane )
      {
        if ( spikes[ lane ] )
        {
          s.spiked[ n_spikes++ ] = static_cast< std::uint32_t >( b * n_lanes + lane );
        }
      }
    }
  }
  return n_spikes;
}

//! The number of receptors of the published training is a constant, which is faster.
constexpr std::size_t usual_receptors = 4;

template < typename Real >
inline __attribute__( ( always_inline ) ) std::size_t
advance_all( const Sweep< Real >& s )
{
  if ( s.n_receptors == usual_receptors )
  {
    return s.hard_reset ? advance_blocks< usual_receptors, true >( s ) : advance_blocks< usual_receptors, false >( s );
  }
  return s.hard_reset ? advance_blocks< 0, true >( s ) : advance_blocks< 0, false >( s );
}
}

V1SIM_CLONES std::size_t
advance( const Sweep< float >& s )
{
  return advance_all( s );
}

V1SIM_CLONES std::size_t
advance( const Sweep< double >& s )
{
  return advance_all( s );
}

} // namespace v1sim
