/* When may a marker go? It refuses fills of loads that do not see a change. Retired too early, a slow load puts
 * the old value into L1 for good. Two transactions whose ids and places in the log are in either order; each is handed
 * out before new snapshots see it. The key is the first one's.
 *
 *   (nothing)             when a probe's answer says that every id up to the marker's is visible (snapshot xmin), and
 *                         every load that was under way when that answer came has ended: holds
 *   -DBY_CLOCK            after a while: fails
 *   -DBY_POSITION         when the applied position has passed the marker's: a log position says nothing of
 *                         visibility. Fails.
 *   -DIGNORE_LOADS        by xmin alone: a load from before is still under way. Fails.
 *   -DLOADS_WHEN_ASKED    by xmin and the loads that were under way when the probe was asked: one that began after the
 *                         question and before the answer saw the old row and is not waited for. Fails.
 */
#define ABSENT 255
#define LOADERS 2

bool logged[2];
bool visible[2];
byte log_length = 0;
byte place = 0;           /* of the key's change in the log, from 1 */

byte entry = 0;           /* L1: 0 the old value, 1 the new one */
bool marker = false;
byte applied = 0;
bool under_way[LOADERS];
bool probing = false;     /* asked and not yet answered */
byte ended = 0;

#define all_up_to_marker (visible[0])   /* xmin past id 0: every id up to the marker's is visible */

proctype Transaction(byte id) {
  atomic { logged[id] = true; log_length++; if :: id == 0 -> place = log_length :: else -> skip fi };
  visible[id] = true;
  ended++
}

proctype Applier() {
  do
  :: atomic {
       applied < log_length -> applied++;
       if
       :: applied == place -> marker = true; entry = ABSENT
       :: else -> skip
       fi
     }
  :: applied == 2 -> break
  od;
  ended++
}

proctype Loader(byte me) {
  bool sees;
  byte rounds = 0;
  do
  :: rounds < 2 ->
     rounds++;
     atomic {                               /* a miss, or the refresh of what is there */
       if
       :: entry == ABSENT || rounds == 1 -> under_way[me] = true
       :: else -> goto next
       fi
     };
     sees = visible[0];                     /* the snapshot, at the origin */
     atomic {                               /* the fence, back at home */
       if
       :: !marker || sees -> entry = sees
       :: else -> skip
       fi;
       under_way[me] = false
     };
next: skip
  :: true -> break
  od;
  ended++
}

proctype Retirement() {
  bool seen;
  bool wait_for[LOADERS];
  do
  :: marker ->
#if defined(BY_CLOCK)
     marker = false
#elif defined(BY_POSITION)
     if
     :: applied > place || applied == 2 -> marker = false
     :: else -> skip
     fi
#else
     atomic { wait_for[0] = under_way[0]; wait_for[1] = under_way[1] };  /* the probe leaves */
     seen = all_up_to_marker;                                            /* it is evaluated at the origin */
# ifndef LOADS_WHEN_ASKED
     atomic { wait_for[0] = under_way[0]; wait_for[1] = under_way[1] };  /* its answer comes home */
# endif
     if
     :: seen ->
# ifndef IGNORE_LOADS
        (!wait_for[0] || !under_way[0]);
        (!wait_for[1] || !under_way[1]);
# endif
        marker = false
     :: else -> skip
     fi
#endif
  :: true -> break
  od;
  ended++
}

init {
  atomic {
    run Transaction(0);
    run Transaction(1);
    run Applier();
    run Loader(0);
    run Loader(1);
    run Retirement()
  }
  ended == LOADERS + 4 -> assert(entry == ABSENT || entry == 1)
}
