complete -o default -o bashdefault -C /usr/bin/cloudjit cloudjit
