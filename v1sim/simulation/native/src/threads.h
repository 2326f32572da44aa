/*
 *  NEST's threads.
 */
#ifndef V1SIM_THREADS_H
#define V1SIM_THREADS_H

#include <cstddef>
#include <exception>

#include "kernel_manager.h"
#include "nest_types.h"

namespace v1sim
{

//! More than NEST can have.
constexpr std::size_t max_threads = std::size_t( 1 ) << nest::NUM_BITS_TID;

//! Call f( tid ) on each of NEST's threads; what one of them throws is thrown when all are done.
template < typename Function >
void
on_each_thread( const Function& f )
{
  const auto n_threads = static_cast< int >( nest::kernel().vp_manager.get_num_threads() );
  std::exception_ptr error;
#pragma omp parallel for schedule( static, 1 ) num_threads( n_threads )
  for ( int tid = 0; tid < n_threads; ++tid )
  {
    try
    {
      f( static_cast< std::size_t >( tid ) );
    }
    catch ( ... )
    {
#pragma omp critical( v1sim_on_each_thread )
      error = std::current_exception();
    }
  }
  if ( error )
  {
    std::rethrow_exception( error );
  }
}

} // namespace v1sim

#endif
