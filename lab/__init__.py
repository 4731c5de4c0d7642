"""Real hosts on this machine, laid out as Kubespray installs external etcd: for developers, tests and the tutorial."""
