#ifndef V1SIM_GLIF_PSC_RESET_H
#define V1SIM_GLIF_PSC_RESET_H

#include "glif_psc.h"

namespace v1sim
{
//! State and input of NEST's own neuron as after creation with V_m = V_reset.
void reset_glif_psc( nest::glif_psc& );
}

#endif
