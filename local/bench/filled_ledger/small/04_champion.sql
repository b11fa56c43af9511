SELECT install_first_champion(encode(sha256('champion'), 'hex'), 'bench')
