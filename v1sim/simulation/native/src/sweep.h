/*
 *  One step of all neurons of a thread: what the equations in glif3_parameters.h say, eight
 *  neurons side by side.
 *
 *  State and constants lie as structures of arrays in blocks of eight neurons. The
 *  function is compiled for the instructions of every machine and for AVX2, and the
 *  program loader picks.
 */
#ifndef V1SIM_SWEEP_H
#define V1SIM_SWEEP_H

#include <array>
#include <cstddef>
#include <cstdint>

#include "glif3_parameters.h"

namespace v1sim
{

//! Neurons in a block.
constexpr std::size_t n_lanes = 8;

template < typename Real >
struct VectorOf;

template <>
struct VectorOf< float >
{
  typedef float type __attribute__( ( vector_size( n_lanes * sizeof( float ) ) ) );
};

template <>
struct VectorOf< double >
{
  typedef double type __attribute__( ( vector_size( n_lanes * sizeof( double ) ) ) );
};

/*
 * The alignment must be said: without AVX in the compiler's default target, vectors
 * are aligned to 16 bytes only, and the function for AVX2 would fault.
 */

//! A number of each neuron of a block.
template < typename Real >
struct alignas( n_lanes * sizeof( Real ) ) Lanes
{
  typename VectorOf< Real >::type of {};
};

//! State of the eight cells of a block.
template < typename Real >
struct alignas( n_lanes * sizeof( Real ) ) CellState
{
  using Vector = typename VectorOf< Real >::type;
  Vector v {};
  Vector r {};
  Vector z {};
  Vector asc[ n_after_spike_currents ] {};
};

//! State of one receptor of the eight cells of a block.
template < typename Real >
struct alignas( n_lanes * sizeof( Real ) ) ReceptorState
{
  using Vector = typename VectorOf< Real >::type;
  Vector psc {};
  Vector rise {};
};

//! Constants of the eight cells of a block; blocks with the same cell types share them.
template < typename Real >
struct alignas( n_lanes * sizeof( Real ) ) CellConstants
{
  using Vector = typename VectorOf< Real >::type;
  Vector decay {};
  Vector current_factor {};
  Vector reset {};
  Vector asc_decay[ n_after_spike_currents ] {};
  Vector asc_amp[ n_after_spike_currents ] {};
  Vector t_ref {};
  //! With a hard reset v is set to held_v where r exceeds held_above: 0, or infinity for cells without one.
  Vector held_above {};
  Vector held_v {};
};

template < typename Real >
struct alignas( n_lanes * sizeof( Real ) ) ReceptorConstants
{
  using Vector = typename VectorOf< Real >::type;
  Vector decay {};
  Vector dt_decay {};
  Vector psc_initial {};
};

//! Receptors for which Sweep::used has a bit; those beyond count as used.
constexpr std::size_t n_use_bits = 32;

//! All that one step of the neurons of a thread needs.
template < typename Real >
struct Sweep
{
  std::size_t n_blocks;
  std::size_t n_receptors;
  CellState< Real >* cells;
  ReceptorState< Real >* receptors;                    //!< [ n_blocks ][ n_receptors ]
  const std::uint32_t* used;                           //!< bits of the receptors of a block that get any input
  const std::uint32_t* kind;                           //!< of a block
  const CellConstants< Real >* cell_constants;         //!< of a kind
  const ReceptorConstants< Real >* receptor_constants; //!< [ kind ][ n_receptors ]
  Lanes< Real >* input;                                //!< [ n_blocks ][ n_receptors ], set to 0
  const Lanes< Real >* background;                     //!< [ n_blocks ][ n_receptors ], or null
  Real background_factor;                              //!< what background is multiplied by in this step
  Real threshold;                                      //!< 1; infinite where no neuron may spike
  Real dt;
  bool hard_reset;                                     //!< whether any cell has one
  std::uint32_t* spiked;                               //!< room for all neurons
};

//! Advance all neurons by a step; returns how many spiked.
std::size_t advance( const Sweep< float >& );
std::size_t advance( const Sweep< double >& );

} // namespace v1sim

#endif
