SELECT install_first_champion(%(version)s, %(by)s) AS installed
