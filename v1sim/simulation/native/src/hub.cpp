#include "hub.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "event_delivery_manager_impl.h"
#include "exceptions.h"
#include "glif3.h"
#include "kernel_manager.h"
#include "random_words.h"
#include "spike_record.h"
#include "synapse.h"
#include "threads.h"

namespace v1sim
{

std::atomic< bool > rows_are_in_order = false;

namespace
{
//! Sums that are added to at a time stay in the second-level cache: 128 kB of them.
template < typename Real >
constexpr std::uint32_t places_in_part = ( 1u << 17 ) / sizeof( Real );

template < typename Real >
std::array< std::unique_ptr< Hub< Real > >, max_threads > hubs;
}

template < typename Real >
Hub< Real >&
hub( const std::size_t tid )
{
  auto& pointer = hubs< Real >[ tid ];
  if ( not pointer )
  {
    pointer = std::make_unique< Hub< Real > >();
  }
  return *pointer;
}

template < typename Real >
bool
has_hub( const std::size_t tid )
{
  return static_cast< bool >( hubs< Real >[ tid ] );
}

void
forget_hubs()
{
  std::ranges::for_each( hubs< double >, []( auto& hub ) { hub.reset(); } );
  std::ranges::for_each( hubs< float >, []( auto& hub ) { hub.reset(); } );
  rows_are_in_order = false;
}

template < typename Real >
std::uint32_t
Hub< Real >::add( Glif3< Real >& neuron )
{
  const auto index = static_cast< std::uint32_t >( neurons_.size() );
  neurons_.push_back( &neuron );
  has_devices_.push_back( false );
  scale_mv_.push_back( neuron.constants().scale_mv );
  if ( cells_.size() * n_lanes < neurons_.size() )
  {
    cells_.emplace_back();
    used_.push_back( 0 );
    receptors_.resize( cells_.size() * n_receptors_ );
    if ( not background_.empty() )
    {
      background_.resize( receptors_.size() );
    }
  }
  kinds_are_old_ = true;
  return index;
}

template < typename Real >
void
Hub< Real >::set_constants( const std::uint32_t neuron, const Glif3Constants& constants )
{
  if ( receptors_are_fixed_ and constants.n_receptors() > n_receptors_ )
  {
    throw nest::BadProperty(
      "tau_syn must have its length before the first synapse onto a neuron of this model, and before the first run." );
  }
  scale_mv_[ neuron ] = constants.scale_mv;
  kinds_are_old_ = true;
}

template < typename Real >
void
Hub< Real >::fix_receptors()
{
  if ( receptors_are_fixed_ )
  {
    return;
  }
  for ( const auto* const neuron : neurons_ )
  {
    n_receptors_ = std::max( n_receptors_, neuron->constants().n_receptors() );
  }
  receptors_.assign( cells_.size() * n_receptors_, {} );
  receptors_are_fixed_ = true;
}

template < typename Real >
Real
Hub< Real >::v( const std::uint32_t neuron ) const
{
  return cells_[ neuron / n_lanes ].v[ neuron % n_lanes ];
}

template < typename Real >
void
Hub< Real >::set_v( const std::uint32_t neuron, const Real v )
{
  cells_[ neuron / n_lanes ].v[ neuron % n_lanes ] = v;
}

template < typename Real >
Real
Hub< Real >::asc( const std::uint32_t neuron, const std::size_t j ) const
{
  return cells_[ neuron / n_lanes ].asc[ j ][ neuron % n_lanes ];
}

template < typename Real >
void
Hub< Real >::set_asc( const std::uint32_t neuron, const std::size_t j, const Real asc )
{
  cells_[ neuron / n_lanes ].asc[ j ][ neuron % n_lanes ] = asc;
}

template < typename Real >
double
Hub< Real >::current( const std::uint32_t neuron ) const
{
  double sum = 0;
  for ( std::size_t i = 0; i < n_receptors_; ++i )
  {
    sum += receptors_[ neuron / n_lanes * n_receptors_ + i ].psc[ neuron % n_lanes ];
  }
  return sum;
}

template < typename Real >
void
Hub< Real >::set_background_weight( const std::uint32_t neuron, const std::size_t receptor, const float weight )
{
  fix_receptors();
  background_.resize( receptors_.size() );
  if ( weight != 0 )
  {
    use( neuron, receptor );
  }
  background_[ neuron / n_lanes * n_receptors_ + receptor ].of[ neuron % n_lanes ] = weight;
}

template < typename Real >
float
Hub< Real >::background_weight( const std::uint32_t neuron, const std::size_t receptor ) const
{
  const std::size_t i = neuron / n_lanes * n_receptors_ + receptor;
  return i < background_.size() ? static_cast< float >( background_[ i ].of[ neuron % n_lanes ] ) : 0.0f;
}

template < typename Real >
void
Hub< Real >::set_background( const std::int64_t first_step, const double* const factors, const std::size_t n_steps )
{
  background_from_ = first_step;
  background_factors_.assign( factors, factors + n_steps );
  poisson_steps_ = 0;
}

template < typename Real >
void
Hub< Real >::set_poisson_background( const std::int64_t first_step,
  const std::size_t n_steps,
  const std::uint64_t key,
  const double event_weight )
{
  background_factors_.clear();
  poisson_from_ = first_step;
  poisson_steps_ = n_steps;
  poisson_key_ = key;
  poisson_weight_ = event_weight;
}

template < typename Real >
Real
Hub< Real >::background_factor( const std::int64_t step ) const
{
  const std::int64_t i = step - background_from_;
  return i >= 0 and i < static_cast< std::int64_t >( background_factors_.size() )
    ? static_cast< Real >( background_factors_[ i ] )
    : Real( 0 );
}

template < typename Real >
void
Hub< Real >::tell_devices_of( const std::uint32_t neuron )
{
  has_devices_[ neuron ] = true;
}

template < typename Real >
void
Hub< Real >::record_voltage_of( Glif3< Real >& neuron )
{
  with_multimeter_.push_back( &neuron );
}

template < typename Real >
void
Hub< Real >::prepare()
{
  fix_receptors();
  resize_ring();
  if ( kinds_are_old_ )
  {
    sort_into_kinds();
  }
  spiked_.resize( neurons_.size() );
}

template < typename Real >
void
Hub< Real >::resize_ring()
{
  const auto& connections = nest::kernel().connection_manager;
  std::size_t n_slots = std::max( n_slots_, std::size_t( 1 ) );
  while ( n_slots < static_cast< std::size_t >( connections.get_min_delay() + connections.get_max_delay() ) )
  {
    n_slots *= 2;
  }
  if ( n_slots == n_slots_ and cells_.size() == blocks_in_ring_ )
  {
    return;
  }
  std::vector< Lanes< Real > > ring( n_slots * cells_.size() * n_receptors_ );
  const std::int64_t now = nest::kernel().simulation_manager.get_time().get_steps();
  for ( std::size_t i = 0; i < n_slots_; ++i )
  {
    const std::int64_t step = now + static_cast< std::int64_t >( i );
    std::copy_n( ring_.begin() + ( step & ( n_slots_ - 1 ) ) * blocks_in_ring_ * n_receptors_,
      blocks_in_ring_ * n_receptors_,
      ring.begin() + ( step & ( n_slots - 1 ) ) * cells_.size() * n_receptors_ );
  }
  ring_ = std::move( ring );
  n_slots_ = n_slots;
  blocks_in_ring_ = cells_.size();
}

template < typename Real >
void
Hub< Real >::sort_into_kinds()
{
  using OfBlock = std::array< const Glif3Constants*, n_lanes >;
  kind_.assign( cells_.size(), 0 );
  cell_constants_.clear();
  receptor_constants_.clear();
  has_hard_reset_ = false;
  std::map< OfBlock, std::uint32_t > known;
  for ( std::size_t b = 0; b < cells_.size(); ++b )
  {
    OfBlock of_block {};
    for ( std::size_t lane = 0; lane < n_lanes and b * n_lanes + lane < neurons_.size(); ++lane )
    {
      of_block[ lane ] = &neurons_[ b * n_lanes + lane ]->constants();
    }
    const auto [ it, is_new ] = known.emplace( of_block, cell_constants_.size() );
    kind_[ b ] = it->second;
    if ( not is_new )
    {
      continue;
    }
    auto& cell = cell_constants_.emplace_back();
    receptor_constants_.resize( cell_constants_.size() * n_receptors_ );
    auto* const receptor = &receptor_constants_[ it->second * n_receptors_ ];
    for ( std::size_t lane = 0; lane < n_lanes; ++lane )
    {
      const Glif3Constants* const c = of_block[ lane ];
      if ( not c )
      {
        continue;
      }
      if ( c->n_receptors() > n_receptors_ )
      {
        throw nest::KernelException(
          "A neuron has more receptors than those that there were before the first synapse or run." );
      }
      cell.decay[ lane ] = static_cast< Real >( c->decay );
      cell.current_factor[ lane ] = static_cast< Real >( c->current_factor );
      cell.reset[ lane ] = static_cast< Real >( c->reset );
      cell.t_ref[ lane ] = static_cast< Real >( c->parameters.t_ref );
      cell.held_above[ lane ] = c->parameters.hard_reset ? Real( 0 ) : std::numeric_limits< Real >::infinity();
      cell.held_v[ lane ] = static_cast< Real >( c->start );
      has_hard_reset_ = has_hard_reset_ or c->parameters.hard_reset;
      for ( std::size_t j = 0; j < n_after_spike_currents; ++j )
      {
        cell.asc_decay[ j ][ lane ] = static_cast< Real >( c->asc_decay[ j ] );
        cell.asc_amp[ j ][ lane ] = static_cast< Real >( c->asc_amp[ j ] );
      }
      for ( std::size_t i = 0; i < c->n_receptors(); ++i )
      {
        const auto decay = static_cast< Real >( c->syn_decay[ i ] );
        receptor[ i ].decay[ lane ] = decay;
        receptor[ i ].dt_decay[ lane ] = static_cast< Real >( c->dt_ms ) * decay;
        receptor[ i ].psc_initial[ lane ] = static_cast< Real >( c->psc_initial[ i ] );
      }
    }
  }
  kinds_are_old_ = false;
}

template < typename Real >
void
Hub< Real >::reset()
{
  std::ranges::fill( cells_, CellState< Real > {} );
  std::ranges::fill( receptors_, ReceptorState< Real > {} );
  std::ranges::fill( ring_, Lanes< Real > {} );
  queued_.clear();
  queued_have_factors_ = false;
  for ( std::size_t i = 0; i < neurons_.size(); ++i )
  {
    set_v( i, static_cast< Real >( neurons_[ i ]->constants().start ) );
  }
}

template < typename Real >
void
Hub< Real >::update( const nest::Time& origin, const long from, const long to )
{
  nest::SpikeEvent event;
  add_queued();
  for ( long lag = from; lag < to; ++lag )
  {
    const std::int64_t step = origin.get_steps() + lag;
    if ( step >= poisson_from_ and step - poisson_from_ < static_cast< std::int64_t >( poisson_steps_ ) )
    {
      add_poisson( step );
    }
    const Real factor = background_.empty() ? Real( 0 ) : background_factor( step );
    const std::size_t n_spikes = advance( Sweep< Real > {
      .n_blocks = cells_.size(),
      .n_receptors = n_receptors_,
      .cells = cells_.data(),
      .receptors = receptors_.data(),
      .used = used_.data(),
      .kind = kind_.data(),
      .cell_constants = cell_constants_.data(),
      .receptor_constants = receptor_constants_.data(),
      .input = reinterpret_cast< Lanes< Real >* >( slot( step ) ),
      .background = factor != Real( 0 ) ? background_.data() : nullptr,
      .background_factor = factor,
      .threshold = muted ? std::numeric_limits< Real >::infinity() : Real( 1 ),
      .dt = static_cast< Real >( nest::Time::get_resolution().get_ms() ),
      .hard_reset = has_hard_reset_,
      .spiked = spiked_.data(),
    } );
    for ( const std::uint32_t i : to_send_again_ )
    {
      send( *neurons_[ i ], event, origin, lag );
    }
    to_send_again_.clear();
    for ( std::size_t i = 0; i < n_spikes; ++i )
    {
      Glif3< Real >& neuron = *neurons_[ spiked_[ i ] ];
      send( neuron, event, origin, lag );
      recorded_spikes()[ neuron.get_thread() ].push_back(
        { static_cast< std::uint32_t >( neuron.get_node_id() ), static_cast< std::uint32_t >( step + 1 ) } );
    }
    for ( auto* const neuron : with_multimeter_ )
    {
      neuron->record( step );
    }
  }
}

template < typename Real >
void
Hub< Real >::send( Glif3< Real >& neuron, nest::SpikeEvent& event, const nest::Time& origin, const long lag )
{
  auto& events = nest::kernel().event_delivery_manager;
  if ( has_devices_[ neuron.index() ] )
  {
    events.send( neuron, event, lag );
    return;
  }
  // As send() does, without a look at the devices: their table takes 1 kB a neuron.
  event.set_sender( neuron );
  event.set_sender_node_id( neuron.get_node_id() );
  event.set_stamp( origin + nest::Time::step( lag + 1 ) );
  events.send_remote( neuron.get_thread(), event, lag );
}

template < typename Real >
void
Hub< Real >::send_again( const std::uint32_t neuron )
{
  to_send_again_.push_back( neuron );
}

template < typename Real >
std::size_t
Hub< Real >::state_size() const
{
  return 3 + n_after_spike_currents + 2 * n_receptors_;
}

template < typename Real >
void
Hub< Real >::get_state( const std::uint32_t neuron, double* to ) const
{
  const std::size_t b = neuron / n_lanes, lane = neuron % n_lanes;
  const auto& cell = cells_[ b ];
  *to++ = cell.v[ lane ];
  *to++ = cell.r[ lane ];
  *to++ = cell.z[ lane ];
  for ( const auto& asc : cell.asc )
  {
    *to++ = asc[ lane ];
  }
  for ( std::size_t i = 0; i < n_receptors_; ++i )
  {
    *to++ = receptors_[ b * n_receptors_ + i ].psc[ lane ];
    *to++ = receptors_[ b * n_receptors_ + i ].rise[ lane ];
  }
}

template < typename Real >
void
Hub< Real >::set_state( const std::uint32_t neuron, const double* from )
{
  const std::size_t b = neuron / n_lanes, lane = neuron % n_lanes;
  const auto next = [ &from ] { return static_cast< Real >( *from++ ); };
  auto& cell = cells_[ b ];
  cell.v[ lane ] = next();
  cell.r[ lane ] = next();
  cell.z[ lane ] = next();
  for ( auto& asc : cell.asc )
  {
    asc[ lane ] = next();
  }
  for ( std::size_t i = 0; i < n_receptors_; ++i )
  {
    auto& receptor = receptors_[ b * n_receptors_ + i ];
    receptor.psc[ lane ] = next();
    receptor.rise[ lane ] = next();
    if ( receptor.psc[ lane ] != 0 or receptor.rise[ lane ] != 0 )
    {
      use( neuron, i );
    }
  }
}

template < typename Real >
void
Hub< Real >::get_arriving( const std::uint32_t neuron, const std::size_t n_slots, double* to )
{
  const std::int64_t now = nest::kernel().simulation_manager.get_time().get_steps();
  for ( std::size_t step = 0; step < n_slots; ++step )
  {
    for ( std::size_t i = 0; i < n_receptors_; ++i )
    {
      *to++ = step < n_slots_ ? slot( now + step )[ place( neuron, i ) ] : Real( 0 );
    }
  }
}

template < typename Real >
void
Hub< Real >::set_arriving( const std::uint32_t neuron, const std::size_t n_slots, const double* from )
{
  const std::int64_t now = nest::kernel().simulation_manager.get_time().get_steps();
  for ( std::size_t step = 0; step < std::min( n_slots, n_slots_ ); ++step )
  {
    for ( std::size_t i = 0; i < n_receptors_; ++i )
    {
      const double arriving = from[ step * n_receptors_ + i ];
      slot( now + step )[ place( neuron, i ) ] = static_cast< Real >( arriving );
      if ( arriving != 0 )
      {
        use( neuron, i );
      }
    }
  }
}

template < typename Real >
void
Hub< Real >::add_poisson( const std::int64_t step )
{
  if ( background_.empty() )
  {
    return;
  }
  Real* const sums = slot( step );
  const std::uint64_t step_key = mix( poisson_key_ + static_cast< std::uint64_t >( step - poisson_from_ ) );
  for ( std::uint32_t i = 0; i < neurons_.size(); ++i )
  {
    const std::uint64_t node = neurons_[ i ]->get_node_id();
    for ( std::size_t receptor = 0; receptor < n_receptors_; ++receptor )
    {
      const Real weight = background_[ i / n_lanes * n_receptors_ + receptor ].of[ i % n_lanes ];
      if ( weight != 0 )
      {
        const unsigned n = poisson_of_mean_1( word( step_key, node * n_receptors_ + receptor ) );
        sums[ place( i, receptor ) ] += static_cast< Real >( n * poisson_weight_ ) * weight;
      }
    }
  }
}

template < typename Real >
void
Hub< Real >::add_queued()
{
  if ( rows_are_in_order and not queued_have_factors_ )
  {
    add_in_parts();
  }
  else
  {
    for ( const QueuedRow& row : queued_ )
    {
      add_row( row );
    }
  }
  queued_.clear();
  queued_have_factors_ = false;
}

template < typename Real >
void
Hub< Real >::add_row( const QueuedRow& row )
{
  const auto factor = static_cast< Real >( row.factor );
  for ( std::size_t i = row.lcid;; ++i )
  {
    const Synapse< Real >& synapse = ( *row.rows )[ i ];
    add_input( row.sent + synapse.delay(), synapse.place(), static_cast< Real >( synapse.weight() ) * factor );
    if ( not synapse.source_has_more_targets() )
    {
      return;
    }
  }
}

/*
 * By step of arrival, then by part of the neurons: every row is read on from where the last part
 * ended. A row ends at its weights of 0, which lie last.
 */
template < typename Real >
void
Hub< Real >::add_in_parts()
{
  if ( queued_.empty() )
  {
    return;
  }
  constexpr std::size_t in_block = max_block_size;
  const auto prefetch = []( const void* const at, const int first, const int last )
  {
    for ( int line = first; line < last; ++line )
    {
      __builtin_prefetch( static_cast< const char* >( at ) + 64 * line );
    }
  };
  cursors_.clear();
  std::int64_t first_sent = queued_.front().sent;
  for ( const QueuedRow& row : queued_ )
  {
    const Synapse< Real >* const at = &( *row.rows )[ row.lcid ];
    const std::size_t left = in_block - ( row.lcid & ( in_block - 1 ) );
    prefetch( at, 0, 4 );
    cursors_.push_back( { at, at + left, row.rows, row.lcid + left, row.sent } );
    first_sent = std::min( first_sent, row.sent );
  }
  const auto n_places = static_cast< std::uint32_t >( cells_.size() * n_receptors_ * n_lanes );
  for ( std::int64_t arrival = first_sent + 1; not cursors_.empty(); ++arrival )
  {
    Real* const sums = slot( arrival );
    for ( std::uint32_t end = 0; end < n_places and not cursors_.empty(); )
    {
      end = n_places - end > places_in_part< Real > ? end + places_in_part< Real > : n_places;
      std::size_t n_left = 0;
      for ( std::size_t i = 0; i < cursors_.size(); ++i )
      {
        Cursor row = cursors_[ i ];
        const Synapse< Real >* at = row.at;
        const std::int64_t delay = arrival - row.sent;
        bool has_more = true;
        while ( at->delay() == delay and at->place() < end and at->weight() != 0 )
        {
          sums[ at->place() ] += at->weight();
          has_more = at->source_has_more_targets();
          if ( not has_more )
          {
            break;
          }
          if ( ++at == row.end )
          {
            at = &( *row.rows )[ row.next ];
            row.end = at + in_block;
            row.next += in_block;
          }
        }
        if ( has_more and at->weight() != 0 )
        {
          prefetch( at, 1, 4 );
          row.at = at;
          cursors_[ n_left++ ] = row;
        }
      }
      cursors_.resize( n_left );
    }
  }
}

template class Hub< double >;
template class Hub< float >;
template Hub< double >& hub( std::size_t );
template Hub< float >& hub( std::size_t );
template bool has_hub< double >( std::size_t );
template bool has_hub< float >( std::size_t );

} // namespace v1sim
