/* The stale-set race: may a fill put an old value into a tier, for good, after the change that made it old was
 * told to the tier? Changes become known before they become visible (PostgreSQL hands a commit out before new
 * snapshots see it), and entries may be evicted at any time.
 *
 *   (nothing)         markers and leases, as built: holds
 *   -DNO_MARKERS      leases only: a load after the invalidation sees the old row, and its lease is good. Fails.
 *   -DVERSIONS_ONLY   no marker, no lease; a fill loses against a newer entry that is there. The newer one is
 *                     evicted, the late fill lands. Fails.
 *   -DBARE_DELETE     neither: fails.
 */
#define CHANGES 2
#define LOADERS 2
#define EVICTIONS 1
#define ABSENT 255
#define NO_LEASE 0

byte logged = 0;    /* the newest change that the feed has handed out; the row's value is the change's number */
byte visible = 0;   /* the newest change that a new snapshot sees */
byte told = 0;      /* the newest change that the tier was told of */

byte entry = ABSENT;      /* the tier: the stamp of what it holds */
byte marker = 0;
byte lease = NO_LEASE;    /* who holds it */
byte ended = 0;

proctype Origin() {
  do
  :: logged < CHANGES -> logged++
  :: visible < logged -> visible++
  :: visible == CHANGES -> break
  od;
  ended++
}

proctype Invalidator() {
  do
  :: told < logged ->
     atomic {
       told++;
       entry = ABSENT;
#if !defined(NO_MARKERS) && !defined(VERSIONS_ONLY) && !defined(BARE_DELETE)
       marker = told;
#endif
       lease = NO_LEASE
     }
  :: told == CHANGES -> break
  od;
  ended++
}

proctype Loader(byte me) {
  byte stamp;
  byte rounds = 0;
  do
  :: rounds < 2 ->
     rounds++;
     if
#if defined(VERSIONS_ONLY) || defined(BARE_DELETE)
     :: entry == ABSENT
#else
     :: atomic { entry == ABSENT && lease == NO_LEASE -> lease = me }
#endif
     :: else -> goto next
     fi;
     stamp = visible;                       /* the load */
     atomic {                               /* the fill: one script */
       if
#if defined(VERSIONS_ONLY)
       :: entry == ABSENT || entry < stamp -> entry = stamp
#elif defined(BARE_DELETE)
       :: true -> entry = stamp
#elif defined(NO_MARKERS)
       :: lease == me -> entry = stamp; lease = NO_LEASE
#else
       :: lease == me && stamp >= marker -> entry = stamp; lease = NO_LEASE
       :: lease == me && stamp < marker -> lease = NO_LEASE
#endif
       :: else -> skip
       fi
     }
next: skip
  :: rounds == 2 -> break
  od;
  ended++
}

proctype Evictor() {
  byte evictions = 0;
  do
  :: evictions < EVICTIONS -> evictions++; entry = ABSENT
  :: true -> break
  od;
  ended++
}

init {
  atomic {
    run Origin();
    run Invalidator();
    run Loader(1);
    run Loader(2);
    run Evictor()
  }
  /* Quiet: everything is visible, told, and no load is under way. */
  ended == LOADERS + 3 -> assert(entry == ABSENT || entry == CHANGES)
}
