CREATE DATABASE {database} OWNER strandline_owner TEMPLATE template0 ENCODING 'UTF8'
