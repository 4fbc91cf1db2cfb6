/* Loss on the region stream: a node must not answer with a proof for what it may have missed. The messages 1, 2, …
 * of the stream may each be lost; changes become visible to loads after they are known. Changes 1 and 2 are of the key that
 * the node holds, change 3 is of another one, whose message only shows the hole. The proof is "everything committed up to
 * `proven` is applied here": an entry that is served with it must include every change of its key up to there.
 *
 *   (nothing)            gap detection, floor and settlement as built: holds
 *   -DNO_GAP_DETECTOR    a message after a hole is applied as if there were none. Fails.
 *   -DNO_FLOOR           the gap clears the proof, but what the node held before it stays trusted. Fails.
 *   -DFLOOR_AT_ONCE      the floor is where the stream is continuous again: loads from then on are trusted though
 *                        what was missed may not be visible to them. Fails.
 *   -DNO_LOAD_MARKER     a load may be stored though it does not include what was applied to its key. Fails.
 *
 * That a gap also clears the proof is not needed here, because whatever was held before it is suspect: it is the second
 * line behind the first.
 */
#define CHANGES 3
#define LAST_OF_KEY 2
#define ABSENT 255
#define last_of_key(position) (position > LAST_OF_KEY -> LAST_OF_KEY : position)

byte committed = 0;  /* known to the stream */
byte visible = 0;    /* to loads */

chan stream = [CHANGES] of { byte };

/* the node */
byte applied = 0;     /* the highest message */
byte marker = 0;      /* on the key */
byte entry = ABSENT;  /* the stamp of what it holds */
bool suspect = false; /* the entry was loaded below the floor */
bool settling = false;/* the floor is not known yet: everything is suspect */
byte bar = 0;         /* what must be visible before it is: the first answer after the gap */
bool has_bar = false;
byte asked = 0;       /* the position that a probe was told, plus one; 0: no probe waits */
byte proven = 0;      /* plus one; 0: no proof */

proctype Origin() {
  do
  :: committed < CHANGES -> atomic { committed++; if :: stream!committed :: skip /* lost */ fi }
  :: visible < committed -> visible++
  :: visible == CHANGES -> break
  od
}

inline lose_trust() {
#ifndef NO_FLOOR
  suspect = true;
#endif
#ifndef FLOOR_AT_ONCE
  settling = true;
#endif
  proven = 0;
  asked = 0;
  has_bar = false
}

inline apply(m) {
#ifndef NO_GAP_DETECTOR
  if
  :: m != applied + 1 -> lose_trust()
  :: else -> skip
  fi;
#endif
  if
  :: m <= LAST_OF_KEY ->
     marker = m;
     if
     :: entry != ABSENT && entry < m -> entry = ABSENT
     :: else -> skip
     fi
  :: else -> skip
  fi;
  applied = m
}

proctype Node() {
  byte m;
  byte turns = 0;
end:
  do
  :: atomic { stream?m -> apply(m) }
  :: atomic {  /* a load and its fill: loads that last longer are the other models' matter */
       turns < 4 -> turns++;
       if
#ifdef NO_LOAD_MARKER
       :: true ->
#else
       :: visible >= marker ->
#endif
          entry = visible; suspect = settling
       :: else -> skip
       fi
     }
  :: atomic {  /* a probe is answered */
       turns < 4 -> turns++;
       asked = committed + 1;
       if
       :: settling && !has_bar -> bar = committed; has_bar = true
       :: settling && has_bar && visible >= bar -> settling = false  /* loads from here on are good */
       :: else -> skip
       fi
     }
  :: atomic {  /* the stream has come past it */
       asked != 0 && applied + 1 >= asked && !settling -> proven = asked; asked = 0
     }
  :: atomic {  /* the hit: served with the proof */
       entry != ABSENT && !suspect && !settling && proven != 0 -> assert(entry >= last_of_key(proven - 1))
     }
  od
}

init { atomic { run Origin(); run Node() } }
