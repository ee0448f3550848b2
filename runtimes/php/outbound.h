/* Requests to others: see `outbound.c`. */
#ifndef WATERTIGHT_PHP_OUTBOUND_H
#define WATERTIGHT_PHP_OUTBOUND_H

/* Has `http://` and `https://` opened by way of the host, wherever PHP takes an address for a file. */
void outbound_register(void);

#endif
