/*
 *  Random numbers that follow from a key and an index, whichever thread or process asks.
 *
 *  The words are those of SplitMix64 (Steele et al. 2014, doi 10.1145/2714064.2660195), which
 *  can be had at any place of its stream.
 */
#ifndef V1SIM_RANDOM_WORDS_H
#define V1SIM_RANDOM_WORDS_H

#include <cstdint>

namespace v1sim
{

//! Finaliser of SplitMix64.
inline std::uint64_t
mix( std::uint64_t word )
{
  word ^= word >> 30;
  word *= 0xBF58476D1CE4E5B9u;
  word ^= word >> 27;
  word *= 0x94D049BB133111EBu;
  word ^= word >> 31;
  return word;
}

//! The index-th word of the stream of a key.
inline std::uint64_t
word( const std::uint64_t key, const std::uint64_t index )
{
  return mix( key + ( index + 1 ) * 0x9E3779B97F4A7C15u );
}

//! A draw from the Poisson distribution of mean 1, by inversion of a uniform word.
inline unsigned
poisson_of_mean_1( const std::uint64_t word )
{
  const double uniform = static_cast< double >( word >> 11 ) * 0x1p-53;
  unsigned n = 0;
  double probability = 0.36787944117144233; // exp(-1)
  double sum = probability;
  while ( uniform >= sum and n < 20 )
  {
    probability /= ++n;
    sum += probability;
  }
  return n;
}

} // namespace v1sim

#endif
