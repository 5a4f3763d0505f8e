function __complete_cloudjit
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    /usr/bin/cloudjit
end
complete -f -c cloudjit -a "(__complete_cloudjit)"
