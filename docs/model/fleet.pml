/*
 * The protocol by which a fleet of processes shares one session, as a model for spin. README.md, beside this, says what
 * each property means, what is left out, and what each mutation takes away.
 *
 * From top to bottom: bounds, properties, the authority, the store, what happens to the fleet, a process, and what must
 * hold when all is at rest.
 */

/* ----------------------------------------------------------------------------------------------------------- Bounds */

#ifndef PROCESSES
#define PROCESSES 2
#endif
#ifndef HOURS       /* how often the session comes due */
#define HOURS 1
#endif
#ifndef CRASHES     /* so many processes at most lose their memory, at any step, and begin anew */
#define CRASHES 0
#endif
#ifndef PAUSES      /* so many leases at most run out under a holder that goes on later */
#define PAUSES 0
#endif
#ifndef OUTAGES     /* so many calls of the store at most fail, whether they were carried out or not */
#define OUTAGES 0
#endif
#ifndef SIGN_OUTS   /* so many processes at most sign out */
#define SIGN_OUTS 0
#endif
#define TOKENS 8    /* more than the authority issues within these bounds: else `issue` says so */

/* ------------------------------------------------------------------------------------------------------- Properties */

/* A run checks one of them, so that each is seen to hold, or to fail, by itself. */
#define SINGLE_FLIGHT 1
#define SPENT_ONCE 2
#define ONE_EXCHANGE 3
#define NOTHING_LOST 4
#define SIGN_OUT_WINS 5
#define NO_ORPHAN 6
#define COMES_TO_REST 7

#ifdef CHECK
#define must(property, condition) assert(CHECK != property || (condition))
#else
#define must(property, condition) assert(property == ONE_EXCHANGE || (condition))
#endif

/* -------------------------------------------------------------------------------------------------------- Authority */

/*
 * A session is told by its refresh token, and the refresh tokens by the order in which they are issued: 1, 2, and so on.
 * They are one-time, without a grace period. All that descend from one sign-in are a family, told by its first token.
 */
byte issued;
byte familyOf[TOKENS];
byte bornAt[TOKENS];    /* the hour of issue */
bool spent[TOKENS];
byte revoked;           /* families, as bits */

byte hour;

#define family(token) (token == 0 -> 0 : 1 << familyOf[token])
#define isRevoked(token) ((revoked & family(token)) != 0)
#define isDue(token) (bornAt[token] < hour)
#define isAlive(token) (bornAt[token] + 1 >= hour)

/* What the store has can be refreshed, or is marked. */
#define isNewestOrMarked (session == 0 || !spent[session] || gap)

inline issue(first) {
  assert(issued + 1 < TOKENS);
  issued++;
  familyOf[issued] = (first == 0 -> issued : first);
  bornAt[issued] = hour;
  fresh = issued;
  must(ONE_EXCHANGE, issued <= hour + 1)
}

/* A token that is spent twice is refused, and revokes its family. A refusal leaves `fresh` at 0. */
inline refresh(token) {
  must(SPENT_ONCE, !spent[token]);
  if
  :: isRevoked(token) -> skip
  :: !isRevoked(token) && spent[token] -> revoked = revoked | family(token)
  :: !isRevoked(token) && !spent[token] -> spent[token] = true; issue(familyOf[token])
  fi;
  must(NOTHING_LOST, isNewestOrMarked)
}

/* ------------------------------------------------------------------------------------------------------------ Store */

byte generation;
byte session;           /* of this generation; 0 for none */
bool gap;               /* its refresh token may be spent: a lease was taken, and not given back with nothing spent */
byte lease;             /* the process that holds it; 0 for nobody */
byte fence;             /* of the latest lease */

/* A commit that its caller has given up, and that may still arrive. */
byte lateSession;
byte lateExpected;
byte lateFence;

#ifdef NO_LEASE
#define NO_LEASE_CHECK
#endif
#ifdef NO_FENCE
#define isInForce(number) true
#else
#define isInForce(number) (number == fence)
#endif
#ifdef NO_GENERATION
#define isExpected(number) true
#else
#define isExpected(number) (number == generation)
#endif

inline write(token) {
  must(NOTHING_LOST, token > session);
  must(SIGN_OUT_WINS, (signedOut & family(token)) == 0);
  session = token;
  generation++;
  gap = false;
  must(NOTHING_LOST, isNewestOrMarked)
}

/* ------------------------------------------------------------------------------------------- What happens to a fleet */

byte crashes;
byte pauses = PAUSES;
byte outages = OUTAGES;
byte signOuts;
byte again = SIGN_OUTS; /* so many at most that were signed out sign in anew */

/* What nobody knows: only there to state the properties. Sets of processes and of families are bits. */
byte holding;           /* processes that believe they hold the lease */
byte overdue;           /* those of them that lost it to a pause */
byte exchanging;        /* processes with an exchange under a lease under way */
byte signedOut;         /* families from before a sign-out that has cleared the store */
byte crashed;           /* families that a crashed process had yet to store, or to end */
byte resting;           /* how many processes are at rest */

#define bit(process) (1 << process)

proctype World() {
end:
  do
  :: atomic { hour < HOURS -> hour++ }

  /* A lease runs out: at any time if nobody extends it, else if its holder is paused for long enough. */
#ifndef NO_EXPIRY
  :: atomic { lease != 0 && (holding & bit(lease)) == 0 -> lease = 0 }
#endif
  :: atomic { lease != 0 && (holding & bit(lease)) != 0 && pauses > 0 ->
      pauses--;
      overdue = overdue | bit(lease);
      lease = 0
    }

  /* What was given up arrives, or never does. */
  :: atomic { lateSession != 0 ->
      if
      :: isInForce(lateFence) && isExpected(lateExpected) -> write(lateSession)
      :: true -> skip
      fi;
      lateSession = 0; lateExpected = 0; lateFence = 0
    }
  od
}

/* ---------------------------------------------------------------------------------------------------------- Process */

#define SHARED 0        /* the session in hand is in the store, or was */
#define UNKNOWN 1       /* its commit failed, and may have been carried out, or be yet */
#define OWN 2           /* it was never stored: its refresh token is nobody else's */

byte held[PROCESSES + 1];
bool out[PROCESSES + 1]; /* was signed out, and wants no session */

#define mine held[me]

#define orCrash :: atomic { crashes > 0 -> crashes--; goto crash }
#define orOutage(next) :: atomic { outages > 0 -> outages--; goto next }

/*
 * What a process makes of what it reads. Where the store has moved on, what is in hand gives way to what is there, and
 * those families are to be ended that nobody else knows to be done with.
 */
inline look() {
  if
  :: generation == known -> skip
#ifdef STORE_ANYHOW
  :: generation != known && kept != SHARED -> known = generation
  :: generation != known && kept == SHARED ->
#else
  :: generation != known ->
#endif
#ifdef LEAVE_OVERTAKEN
    ends = ends | (session == 0 -> stake : 0);
#else
    ends = ends | (stake & ~family(session));
#endif
    stake = 0;
    kept = SHARED;
    known = generation;
    mine = (session != 0 && isAlive(session) -> session : 0);
    moved = true
  fi;
  read = session;
  must(SIGN_OUT_WINS, (signedOut & family(mine)) == 0)
}

/* Only a lease that is still held is given back. */
inline giveBack() {
  if
  :: lease == me && number == fence ->
    lease = 0;
#ifdef FORGET_GAP
    gap = false;
#else
    gap = gap && marked;
#endif
    must(NOTHING_LOST, isNewestOrMarked)
  :: else -> skip
  fi
}

inline forgetLease() {
  holding = holding & ~bit(me);
  overdue = overdue & ~bit(me);
  number = 0;
  marked = false
}

proctype Process(byte me) {
  byte known;           /* the generation of the session in hand; of one not stored, that which it was made from */
  byte kept;            /* SHARED, UNKNOWN or OWN */
  byte stake;           /* families that the session in hand replaces where it is not stored, and its own */
  byte ends;            /* families to end at the authority */
  byte read;            /* the session last read from the store */
  bool moved;           /* whether the store had moved on */
  byte number;          /* the fence of the lease */
  bool marked;          /* whether the token read may be spent: by a holder before, or by this one */
  byte spend;           /* the token that the exchange spends; 0 for a sign-in */
  byte fresh;           /* the session that the exchange brings */

rest:
  atomic {
    read = 0; moved = false; spend = 0; fresh = 0;
    resting++
  };
end:
  atomic {
    if
    :: mine == 0 && !out[me] -> resting--; goto attempt
    :: mine != 0 && (isDue(mine) || isRevoked(mine)) -> resting--; goto attempt  /* or the API answers 401 */
    :: mine != 0 && kept != SHARED -> resting--; goto attempt
    :: !out[me] && signOuts > 0 -> signOuts--; resting--; goto signOut
    :: crashes > 0 -> crashes--; resting--; goto crash
    fi
  };

  /* 2. Read. A newer session that lives is adopted. */
attempt:
  if
  :: atomic {
      moved = false;
      look();
      if
      :: moved && session == 0 -> goto wasSignedOut
      :: moved && mine != 0 -> goto finish
      :: else -> skip
      fi
    }
  orOutage(unreachable)
  orCrash
  fi;

  /* 3. Take the lease, or wait for a change, or for the lease to run out. */
  if
#ifdef NO_LEASE
  :: atomic { number = fence; holding = holding | bit(me) }
#else
  :: atomic { lease == 0 ->
      lease = me; fence++; number = fence;
      holding = holding | bit(me);
#ifndef NO_GAP
      marked = gap;
#endif
      gap = (session != 0)
    }
#ifdef POLL
  :: atomic { lease != 0 -> goto attempt }
#else
  :: atomic { lease != 0 && generation != known -> goto attempt }
#endif
  /* Taken, but the answer is lost: this lease runs out. */
  :: atomic { outages > 0 && lease == 0 -> outages--; lease = me; fence++; gap = (session != 0); goto unreachable }
#endif
  orOutage(unreachable)
  orCrash
  fi;

  /* 4. Under the lease: read again. */
#ifndef NO_SECOND_LOOK
  if
#ifndef NO_LEASE_CHECK
  :: atomic { !(lease == me && number == fence) -> forgetLease(); goto attempt }
  :: atomic { lease == me && number == fence ->
#else
  :: atomic {
#endif
      moved = false;
      look();
      if
      :: moved && session == 0 -> giveBack(); forgetLease(); goto wasSignedOut
      :: moved && mine != 0 -> goto release
      :: else -> skip
      fi;
      /* A commit that is still on its way is refused from now on: a later fence has been given out. */
      if
      :: kept == UNKNOWN -> kept = OWN
      :: else -> skip
      fi
    }
  orOutage(unreachable)
  orCrash
  fi;
#endif

  /* What only waits to be stored is; else an exchange. Nobody spends a token that may be spent. */
exchange:
  atomic {
    if
    :: kept == OWN && !isDue(mine) && !isRevoked(mine) -> fresh = mine; stake = stake | family(read); goto commit
    :: else ->
      must(SINGLE_FLIGHT, (overdue & bit(me)) != 0 || (exchanging & ~overdue) == 0);
      exchanging = exchanging | bit(me);
      if
      :: kept == OWN -> spend = mine
      :: kept != OWN && !marked -> spend = read; marked = true
      :: else -> spend = 0
      fi
    fi
  };
  if
  :: atomic {
      if
      :: spend != 0 -> refresh(spend)
      :: else -> skip
      fi
    }
  orCrash
  fi;
  if
  :: atomic { fresh != 0 }
  :: atomic { fresh == 0 -> issue(0) }
  orCrash
  fi;
  atomic {
    exchanging = exchanging & ~bit(me);
    stake = stake | family(read) | family(fresh);
    spend = 0
  };

commit:
  if
  :: atomic { isInForce(number) && isExpected(known) ->
      write(fresh);
      mine = fresh;
      known = generation;
      kept = SHARED;
#ifndef KEEP_REPLACED
      ends = ends | (stake & ~family(fresh));
#endif
      stake = 0;
      goto release
    }
  :: atomic { !(isInForce(number) && isExpected(known)) -> mine = fresh; kept = OWN }
  /* 6. The commit fails: it serves from memory, to store it later. */
  :: atomic { outages > 0 ->
      outages--;
      lateSession = fresh; lateExpected = known; lateFence = number;
      mine = fresh; kept = UNKNOWN;
      goto release
    }
  orCrash
  fi;

  /* 5. The commit was refused: read. Where the generation is as before, only the lease was lost. */
  if
  :: atomic {
      moved = false;
      look();
      if
      :: moved && session == 0 -> giveBack(); forgetLease(); goto wasSignedOut
      :: else -> skip
      fi
    }
  orOutage(release)
  orCrash
  fi;

release:
  if
  :: atomic { giveBack(); forgetLease() }
  :: atomic { outages > 0 -> outages--; forgetLease() }
  orCrash
  fi;

finish:
  if
  :: atomic { ends == 0 -> goto rest }
  :: atomic { ends != 0 -> revoked = revoked | ends; ends = 0; goto rest }
  orCrash
  fi;

  /* The store is out of reach. A session that lives is served, and the attempt fails; one that has ended is replaced. */
unreachable:
  atomic {
    forgetLease();
    if
    :: mine != 0 && isAlive(mine) && !isRevoked(mine) -> goto finish
#ifdef SPEND_UNKNOWN
    :: mine != 0 && !(isAlive(mine) && !isRevoked(mine)) && kept != SHARED -> spend = mine
    :: !(mine != 0 && isAlive(mine) && !isRevoked(mine)) && kept == SHARED -> spend = 0
#else
    :: mine != 0 && !(isAlive(mine) && !isRevoked(mine)) && kept == OWN -> spend = mine
    :: !(mine != 0 && isAlive(mine) && !isRevoked(mine)) && kept != OWN -> spend = 0
#endif
    fi
  };
  if
  :: atomic {
      if
      :: spend != 0 -> refresh(spend)
      :: else -> skip
      fi
    }
  orCrash
  fi;
  atomic {
    if
    :: fresh == 0 -> issue(0)
    :: else -> skip
    fi;
    stake = stake | family(mine) | family(fresh);
    mine = fresh;
    kept = OWN;
    goto finish
  };

  /* Sign-out: forget, clear until it succeeds, and end what was there. */
signOut:
  atomic {
    ends = ends | stake | family(mine);
    mine = 0; kept = SHARED; stake = 0
  };
clear:
  if
#ifdef EXPIRE_ONE
  :: atomic { known = generation; ends = (ends == 0 -> family(session) : ends) }
#else
  :: atomic { known = generation; ends = ends | family(session) }
#endif
  orOutage(clear)
  orCrash
  fi;
  if
  :: atomic { known == generation ->
      session = 0; gap = false;
#ifndef CLEAR_KEEPS_GENERATION
      generation++;
#endif
      known = generation;
      signedOut = signedOut | ((1 << (issued + 1)) - 1);
      if
      :: true -> skip
      :: outages > 0 -> outages--; goto clear  /* done, but the answer is lost */
      fi
    }
  :: atomic { known != generation -> goto clear }
  orOutage(clear)
  orCrash
  fi;

wasSignedOut:
  atomic {
    if
    :: again > 0 -> again--
    :: true -> out[me] = true
    fi;
    goto finish
  };

crash:
  atomic {
    crashed = crashed | stake | ends | family(fresh);
    exchanging = exchanging & ~bit(me);
    forgetLease();
    mine = 0; known = 0; kept = SHARED; stake = 0; ends = 0; out[me] = false;
    goto rest
  }
}

/* ---------------------------------------------------------------------------------------------------------- At rest */

byte token;

init {
  atomic {
    if
    :: crashes = CRASHES
    :: crashes = 0
    fi;
    if
    :: signOuts = SIGN_OUTS
    :: signOuts = 0
    fi;
    run World();
    token = 1;
    do
    :: token <= PROCESSES -> run Process(token); token++
    :: else -> break
    od;
    token = 0
  };

  /* Nobody can do anything any more: all have ended what they began, and hold what is stored. */
  atomic {
    timeout ->
      must(COMES_TO_REST, resting == PROCESSES);
      token = 1;
      do
      :: token <= PROCESSES -> 
        must(COMES_TO_REST, out[token] || held[token] == session || (crashed & family(held[token])) != 0);
        token++
      :: else -> break
      od;
      token = 1;
      do
      :: token <= issued ->
        must(NO_ORPHAN, isRevoked(token) || family(token) == family(session) || (crashed & family(token)) != 0);
        token++
      :: else -> break
      od
  }
}
