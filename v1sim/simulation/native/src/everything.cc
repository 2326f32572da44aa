/*
 *  The module in one piece for the compiler: NEST's headers are most of what it has to read.
 */
#include "analog_input.cpp"
#include "audit.cpp"
#include "filling.cpp"
#include "frozen_nodes.cpp"
#include "glif3.cpp"
#include "glif3_float32.cpp"
#include "glif3_parameters.cpp"
#include "glif_psc_reset.cpp"
#include "hub.cpp"
#include "module.cpp"
#include "spike_record.cpp"
#include "spike_sources.cpp"
#include "sweep.cpp"
#include "synapse.cpp"
