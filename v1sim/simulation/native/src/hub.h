/*
 *  All GLIF3 neurons of a thread: their state, what is on its way to them, and their update.
 *
 *  Neurons are NEST nodes, but frozen ones: NEST does not update them. The first of each
 *  thread updates all of them in one sweep over arrays, sends for those that spiked,
 *  records the spikes, and tells the multimeters. What synapses bring is added into one
 *  ring of slots, one a step of the future.
 *
 *  Synapses do not add when NEST delivers a spike: they queue the row (the synapses of one
 *  source on this thread), and the hub adds all rows of a slice before its update, in
 *  an order that stays in the processor's cache.
 */
#ifndef V1SIM_HUB_H
#define V1SIM_HUB_H

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "block_vector.h"
#include "event.h"
#include "nest_time.h"
#include "nest_types.h"
#include "sweep.h"

namespace v1sim
{

template < typename Real >
class Glif3;
template < typename Real >
class Synapse;

template < typename Real >
class alignas( 64 ) Hub
{
public:
  using Rows = BlockVector< Synapse< Real > >;

  //! Take a neuron in; its index, which it keeps.
  std::uint32_t add( Glif3< Real >& );
  const std::vector< Glif3< Real >* >& neurons() const;

  //! What a synapse adds to: receptor and neuron as a place in a slot of the ring.
  std::uint32_t place( std::uint32_t neuron, std::size_t receptor ) const;
  std::uint32_t neuron_of( std::uint32_t place ) const;
  std::size_t receptor_of( std::uint32_t place ) const;
  //! V_th - E_L of the neuron that a synapse leads to, mV.
  double scale_mv_of( std::uint32_t place ) const;

  //! Let the neuron have its constants; throws nest::BadProperty where synapses stand against it.
  void set_constants( std::uint32_t neuron, const Glif3Constants& );
  //! From now on the number of receptors stays. To be called before place().
  void fix_receptors();
  std::size_t n_receptors() const;

  Real v( std::uint32_t neuron ) const;
  void set_v( std::uint32_t neuron, Real );
  Real asc( std::uint32_t neuron, std::size_t j ) const;
  void set_asc( std::uint32_t neuron, std::size_t j, Real );
  //! Sum of the currents of all receptors, normalised.
  double current( std::uint32_t neuron ) const;

  //! Normalised background weight, and what it is multiplied by in steps first_step .. of NEST.
  void set_background_weight( std::uint32_t neuron, std::size_t receptor, float );
  float background_weight( std::uint32_t neuron, std::size_t receptor ) const;
  void set_background( std::int64_t first_step, const double* factors, std::size_t n_steps );
  //! In place of factors: each neuron and receptor gets event_weight for each event of a Poisson process, one a step on average.
  void set_poisson_background( std::int64_t first_step, std::size_t n_steps, std::uint64_t key, double event_weight );

  //! To be told before a receptor of a neuron gets input for the first time.
  void use( std::uint32_t neuron, std::size_t receptor );
  //! Add to what arrives in a NEST step.
  void add_input( std::int64_t step, std::uint32_t place, Real );
  //! A spike of the source whose row starts at lcid, sent in a NEST step, times a factor.
  void queue( const Rows&, std::size_t lcid, std::int64_t sent, float factor );

  //! A neuron that devices listen to, or that a multimeter does.
  void tell_devices_of( std::uint32_t neuron );
  void record_voltage_of( Glif3< Real >& );

  void prepare();
  void update( const nest::Time& origin, long from, long to );

  //! Let a neuron send a spike in the next step, which is not recorded: one of a saved state that was on its way.
  void send_again( std::uint32_t neuron );
  //! Numbers of the state of a neuron: v, r, z, after-spike currents, then current and rise of each receptor.
  std::size_t state_size() const;
  void get_state( std::uint32_t neuron, double* ) const;
  void set_state( std::uint32_t neuron, const double* );
  //! What is on its way: arrives[ n_slots ][ n_receptors ], from the coming step on.
  std::size_t n_slots() const;
  void get_arriving( std::uint32_t neuron, std::size_t n_slots, double* );
  void set_arriving( std::uint32_t neuron, std::size_t n_slots, const double* );
  //! State and input as after creation.
  void reset();

private:
  struct QueuedRow
  {
    const Rows* rows;
    std::size_t lcid;
    std::int64_t sent;
    float factor;
  };

  //! Where the adding of a row has come to.
  struct Cursor
  {
    const Synapse< Real >* at;
    const Synapse< Real >* end; //!< of the block of memory
    const Rows* rows;
    std::size_t next;           //!< index of the block after it
    std::int64_t sent;
  };

  Real* slot( std::int64_t step );
  void resize_ring();
  void sort_into_kinds();
  void add_queued();
  void add_row( const QueuedRow& );
  void add_in_parts();
  void add_poisson( std::int64_t step );
  void send( Glif3< Real >&, nest::SpikeEvent&, const nest::Time& origin, long lag );
  Real background_factor( std::int64_t step ) const;

  std::vector< Glif3< Real >* > neurons_;
  std::vector< double > scale_mv_;          //!< of a neuron
  std::vector< char > has_devices_;
  std::vector< Glif3< Real >* > with_multimeter_;

  std::size_t n_receptors_ = 0;
  bool receptors_are_fixed_ = false;
  bool kinds_are_old_ = true;
  bool has_hard_reset_ = false;

  std::vector< CellState< Real > > cells_;
  std::vector< ReceptorState< Real > > receptors_;
  std::vector< std::uint32_t > used_; //!< bits of the receptors of a block that get any input
  std::vector< std::uint32_t > kind_;
  std::vector< CellConstants< Real > > cell_constants_;
  std::vector< ReceptorConstants< Real > > receptor_constants_;

  std::vector< Lanes< Real > > ring_;
  std::size_t n_slots_ = 0;
  std::size_t blocks_in_ring_ = 0;

  std::vector< Lanes< Real > > background_; //!< empty where no neuron has any
  std::int64_t background_from_ = 0;
  std::vector< double > background_factors_;
  std::int64_t poisson_from_ = 0;
  std::size_t poisson_steps_ = 0;
  std::uint64_t poisson_key_ = 0;
  double poisson_weight_ = 0;

  std::vector< QueuedRow > queued_;
  bool queued_have_factors_ = false;
  std::vector< Cursor > cursors_;
  std::vector< std::uint32_t > spiked_;
  std::vector< std::uint32_t > to_send_again_;
};

//! The hub of a thread; made when it is first asked for by that thread.
template < typename Real >
Hub< Real >& hub( std::size_t tid );

//! Whether a thread has one.
template < typename Real >
bool has_hub( std::size_t tid );

//! Forget all hubs: their neurons are gone.
void forget_hubs();

//! False while rows may not lie in the order in which NEST's sorting put them: then they are added as they are.
extern std::atomic< bool > rows_are_in_order;

template < typename Real >
inline std::size_t
Hub< Real >::n_slots() const
{
  return n_slots_;
}

template < typename Real >
inline const std::vector< Glif3< Real >* >&
Hub< Real >::neurons() const
{
  return neurons_;
}

template < typename Real >
inline std::uint32_t
Hub< Real >::place( const std::uint32_t neuron, const std::size_t receptor ) const
{
  return static_cast< std::uint32_t >(
    ( neuron / n_lanes * n_receptors_ + receptor ) * n_lanes + neuron % n_lanes );
}

template < typename Real >
inline std::uint32_t
Hub< Real >::neuron_of( const std::uint32_t place ) const
{
  constexpr std::uint32_t lanes = n_lanes;
  return place / lanes / static_cast< std::uint32_t >( n_receptors_ ) * lanes + place % lanes;
}

template < typename Real >
inline std::size_t
Hub< Real >::receptor_of( const std::uint32_t place ) const
{
  constexpr std::uint32_t lanes = n_lanes;
  return place / lanes % static_cast< std::uint32_t >( n_receptors_ );
}

template < typename Real >
inline double
Hub< Real >::scale_mv_of( const std::uint32_t place ) const
{
  return scale_mv_[ neuron_of( place ) ];
}

template < typename Real >
inline std::size_t
Hub< Real >::n_receptors() const
{
  return n_receptors_;
}

template < typename Real >
inline Real*
Hub< Real >::slot( const std::int64_t step )
{
  Lanes< Real >* const first = ring_.data() + ( step & ( n_slots_ - 1 ) ) * blocks_in_ring_ * n_receptors_;
  return reinterpret_cast< Real* >( first );
}

template < typename Real >
inline void
Hub< Real >::use( const std::uint32_t neuron, const std::size_t receptor )
{
  if ( receptor < n_use_bits )
  {
    used_[ neuron / n_lanes ] |= 1u << receptor;
  }
}

template < typename Real >
inline void
Hub< Real >::add_input( const std::int64_t step, const std::uint32_t place, const Real value )
{
  slot( step )[ place ] += value;
}

template < typename Real >
inline void
Hub< Real >::queue( const Rows& rows, const std::size_t lcid, const std::int64_t sent, const float factor )
{
  queued_.push_back( { &rows, lcid, sent, factor } );
  queued_have_factors_ = queued_have_factors_ or factor != 1.0f;
}

} // namespace v1sim

#endif
