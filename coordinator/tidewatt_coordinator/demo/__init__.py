"""`tidewatt run`: a fleet of simulated boards on this machine, every process a real one."""
