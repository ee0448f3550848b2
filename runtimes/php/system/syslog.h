/* There is one log, and it is stderr. */
#ifndef WATERTIGHT_PHP_SYSLOG_H
#define WATERTIGHT_PHP_SYSLOG_H

enum { LOG_EMERG, LOG_ALERT, LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
enum { LOG_KERN = 0, LOG_USER = 8, LOG_MAIL = 16, LOG_DAEMON = 24, LOG_AUTH = 32, LOG_SYSLOG = 40, LOG_LPR = 48 };
enum { LOG_NEWS = 56, LOG_UUCP = 64, LOG_CRON = 72, LOG_AUTHPRIV = 80 };
enum { LOG_LOCAL0 = 128, LOG_LOCAL1 = 136, LOG_LOCAL2 = 144, LOG_LOCAL3 = 152 };
enum { LOG_LOCAL4 = 160, LOG_LOCAL5 = 168, LOG_LOCAL6 = 176, LOG_LOCAL7 = 184 };
enum { LOG_PID = 1, LOG_CONS = 2, LOG_ODELAY = 4, LOG_NDELAY = 8, LOG_NOWAIT = 16, LOG_PERROR = 32 };
/* PHP asks by name whether they are there. */
#define LOG_NEWS LOG_NEWS
#define LOG_UUCP LOG_UUCP
#define LOG_CRON LOG_CRON
#define LOG_AUTHPRIV LOG_AUTHPRIV
#define LOG_NOWAIT LOG_NOWAIT
#define LOG_PERROR LOG_PERROR

void openlog(const char *, int, int);
void closelog(void);
void syslog(int, const char *, ...);

#endif
