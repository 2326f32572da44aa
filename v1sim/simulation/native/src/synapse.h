/*
 *  A synapse of 12 bytes onto a GLIF3 neuron of this module.
 *
 *  It holds a place in the ring of its target's thread (hub.h), the weight as it stands in
 *  the file of the network (float32, divided by V_th - E_L of the target), and what NEST
 *  keeps of each synapse: model, delay and two flags. For NEST and PyNN its weight is in pA, as
 *  any synapse's: pA divided by V_th - E_L and rounded to float32 gives back the
 *  value of the file.
 */
#ifndef V1SIM_SYNAPSE_H
#define V1SIM_SYNAPSE_H

#include <cstdint>
#include <vector>

#include "connection.h"
#include "connector_base.h"
#include "glif3.h"
#include "hub.h"

namespace v1sim
{

//! The target as NEST's connections want it: a place in the ring of a thread.
template < typename Real >
class Place
{
public:
  nest::Node* get_target_ptr( const std::size_t tid ) const { return hub< Real >( tid ).neurons()[ hub< Real >( tid ).neuron_of( value ) ]; }
  // NEST's own code asks for the port nowhere but in synapses with other features than this one.
  std::size_t get_rport() const { return 0; }

  std::uint32_t value = 0;
};

template < typename Real >
class Synapse : public nest::Connection< Place< Real > >
{
public:
  using Base = nest::Connection< Place< Real > >;
  using CommonPropertiesType = nest::CommonSynapseProperties;
  static constexpr nest::ConnectionModelProperties properties =
    nest::ConnectionModelProperties::HAS_DELAY | nest::ConnectionModelProperties::IS_PRIMARY;

  //! As a model's default, and until it leads to a neuron: 1 pA.
  Synapse();
  //! Leading to a place.
  Synapse( nest::synindex, std::uint32_t place, std::uint32_t delay_steps, float weight );

  void check_connection( nest::Node&, nest::Node& target, std::size_t receptor, const CommonPropertiesType& );
  //! Of a device; the rows of neurons and spike sources are queued instead.
  bool send( nest::Event&, std::size_t tid, const CommonPropertiesType& );

  // Until it leads to a neuron:
  void get_status( Dictionary& ) const;
  void set_status( const Dictionary&, nest::ConnectorModel& );
  void set_weight( double weight_pa );

  // When it does:
  void get_status( Dictionary&, std::size_t tid ) const;
  void set_status( const Dictionary&, nest::ConnectorModel&, std::size_t tid );
  //! NEST leaves disabled synapses in their row: it must bring nothing.
  void disable();

  std::uint32_t place() const { return this->target_.value; }
  std::uint32_t delay() const { return this->syn_id_delay_.delay; }
  float weight() const { return weight_; }
  double weight_pa( const Hub< Real >& hub ) const { return weight_ * hub.scale_mv_of( place() ); }

  //! Rows are sorted by this: weights of 0 last, then by delay and place.
  std::uint64_t
  order() const
  {
    return static_cast< std::uint64_t >( weight_ == 0 ) << 63 | static_cast< std::uint64_t >( delay() ) << 32 | place();
  }

private:
  double pending_weight_pa() const;

  //! Until the synapse leads to a neuron, the place and this hold a weight in pA, a double.
  float weight_;
};

static_assert( sizeof( Synapse< double > ) == 12 and sizeof( Synapse< float > ) == 12 );

//! Sort the synapses of one source by Synapse::order().
template < typename Real >
void sort_row( std::vector< Synapse< Real > >& );

//! Sort each row of a connector, whose sources these are.
template < typename Real >
void sort_rows( BlockVector< nest::Source >&, BlockVector< Synapse< Real > >& );

} // namespace v1sim

/*
 *  connector_base.h: "If any member functions need to do something special for a given connection
 *  type, declare specializations in the corresponding header file".
 */
namespace nest
{
#define V1SIM_CONNECTOR( SYNAPSE )                                                                               \
  template <>                                                                                                    \
  std::size_t Connector< SYNAPSE >::send(                                                                        \
    const std::size_t, const std::size_t, const std::vector< ConnectorModel* >&, Event& );                       \
  template <>                                                                                                    \
  void Connector< SYNAPSE >::sort_connections( BlockVector< Source >& );                                         \
  template <>                                                                                                    \
  void Connector< SYNAPSE >::get_synapse_status( const std::size_t, const std::size_t, Dictionary& ) const;      \
  template <>                                                                                                    \
  void Connector< SYNAPSE >::set_synapse_status( const std::size_t, const Dictionary&, ConnectorModel& );         \
  template <>                                                                                                    \
  void Connector< SYNAPSE >::disable_connection( const std::size_t );
V1SIM_CONNECTOR( v1sim::Synapse< double > )
V1SIM_CONNECTOR( v1sim::Synapse< float > )
#undef V1SIM_CONNECTOR
}

#endif
