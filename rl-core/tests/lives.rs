//! Games with lives: what their wrappers save, report, refuse and pass on. What they show is compared in atari.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod toy;

use rl_core::toy::Game;
use rl_core::{
    ActionMap, AtariConfig, BoxSpace, Discrete, End, Env, EpisodicLife, FireStart, FrameSkip,
    FrameStack, Greyscale, Lives, MapAction, NoopStart, Result, Rng, Seeds, SerialVecEnv, Space,
    Step, ThreadedVecEnv, TimeLimit, VecEnv, evaluate,
};
use toy::Toy;

/// A game that is told when lives are lost and when it ends, and remembers the actions of the present game. It shows the
/// number of its games and steps.
#[derive(Clone)]
struct Script {
    /// The steps of a game after each of which one of four lives is lost.
    losses: Vec<usize>,
    /// The step that ends each of the first games, and how; later ones go on.
    ends: Vec<(usize, End)>,
    games: usize,
    taken: Vec<u32>,
}

impl Script {
    fn new(losses: &[usize], ends: &[(usize, End)]) -> Self {
        let (losses, ends) = (losses.to_vec(), ends.to_vec());
        Script { losses, ends, games: 0, taken: Vec::new() }
    }
}

impl Env for Script {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = (usize, Vec<u32>);

    fn observation_space(&self) -> BoxSpace<u8> {
        BoxSpace::image(&[3, 1, 1]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(4).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.games += 1;
        self.taken.clear();
        obs.copy_from_slice(&[self.games as u8, 0, 0]);
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.taken.push(action as u32);
        obs.copy_from_slice(&[self.games as u8, self.taken.len() as u8, 0]);
        let end = self.games.checked_sub(1).and_then(|game| self.ends.get(game));
        let end = end.filter(|(step, _)| *step == self.taken.len()).map(|(_, end)| *end);
        Ok(Step { reward: 1.0, end })
    }
    fn state(&self) -> Option<Self::State> {
        Some((self.games, self.taken.clone()))
    }
    fn set_state(&mut self, (games, taken): Self::State) -> Result<()> {
        (self.games, self.taken) = (games, taken);
        Ok(())
    }
}

impl Lives for Script {
    fn lives(&self) -> u32 {
        let lost = self.losses.iter().filter(|loss| **loss <= self.taken.len()).count();
        4 - lost as u32
    }
}

const OVER: End = End::Terminated;

fn rng() -> Rng {
    Seeds::new(0).stream("env", 0)
}

fn reset<E: Env<Obs = BoxSpace<u8>>>(env: &mut E) -> Vec<u8> {
    let mut obs = vec![0; env.observation_space().width()];
    env.reset(&mut rng(), &mut obs).unwrap();
    obs
}

fn step<E: Env<Obs = BoxSpace<u8>, Action = Discrete>>(env: &mut E, action: usize) -> Option<End> {
    let mut obs = vec![0; env.observation_space().width()];
    env.step(action, &mut rng(), &mut obs).unwrap().end
}

/// From every point of several episodes, ends among them, a copy that is given the state goes on as the original does.
fn goes_on_from_its_state<E>(make: impl Fn() -> E)
where
    E: Env<Obs = BoxSpace<u8>, Action = Discrete>,
{
    let width = make().observation_space().width();
    let play = |env: &mut E, rng: &mut Rng, end: &mut Option<End>, obs: &mut [u8]| {
        if end.is_some() {
            env.reset(rng, obs).unwrap();
            *end = None;
            return (0.0, None, env.continued());
        }
        let action = rng.below(4);
        let step = env.step(action, rng, obs).unwrap();
        *end = step.end;
        (step.reward, step.end, false)
    };
    let (mut env, mut rng, mut end, mut obs) = (make(), rng(), Some(OVER), vec![0; width]);
    let mut ends = 0;
    for _ in 0..200 {
        play(&mut env, &mut rng, &mut end, &mut obs);
        ends += u32::from(end.is_some());
        let (mut one, mut other) = (make(), make());
        one.set_state(env.state().unwrap()).unwrap();
        other.set_state(one.state().unwrap()).unwrap();
        let (mut rngs, mut ends) = ([rng.clone(), rng.clone()], [end, end]);
        let mut shown = [vec![0; width], vec![1; width]];
        for _ in 0..12 {
            let a = play(&mut one, &mut rngs[0], &mut ends[0], &mut shown[0]);
            let b = play(&mut other, &mut rngs[1], &mut ends[1], &mut shown[1]);
            assert!((a, &shown[0]) == (b, &shown[1]), "{a:?} and {b:?}");
        }
        // The original goes the same way, up to here and back again.
        let (saved, mut rng, mut end) = (env.state().unwrap(), rng.clone(), end);
        for _ in 0..12 {
            play(&mut env, &mut rng, &mut end, &mut obs);
        }
        assert_eq!((&obs, end, &rng), (&shown[0], ends[0], &rngs[0]));
        env.set_state(saved).unwrap();
    }
    assert!(ends > 2, "{ends} ends");
}

#[test]
fn every_wrapper_goes_on_from_its_state() {
    goes_on_from_its_state(|| NoopStart::new(Toy::default(), 5).unwrap());
    goes_on_from_its_state(|| EpisodicLife::new(Toy::default()).unwrap());
    goes_on_from_its_state(|| FireStart::new(Toy::default()).unwrap());
    goes_on_from_its_state(|| MapAction::wrap(Toy::default(), Same).unwrap());
    goes_on_from_its_state(|| Greyscale::new(Toy::default()).unwrap());
    goes_on_from_its_state(|| FrameSkip::new(Toy::default(), 3).unwrap());
    goes_on_from_its_state(|| FrameStack::new(Toy::default(), 2).unwrap());
    goes_on_from_its_state(|| TimeLimit::new(Toy::default(), 20).unwrap());
    let config = AtariConfig { screen_size: 20, fire_on_reset: true, ..AtariConfig::default() };
    goes_on_from_its_state(|| config.wrap(Toy::default()).unwrap());
}

#[test]
fn a_start_takes_its_actions() {
    let mut env = NoopStart::new(Script::new(&[], &[]), 6).unwrap().with_noop(3).unwrap();
    let (mut rng, mut counts) = (rng(), [0; 8]);
    for _ in 0..7_000 {
        env.reset(&mut rng, &mut [0; 3]).unwrap();
        let (_, taken) = env.state().unwrap();
        assert!(taken.iter().all(|action| *action == 3));
        counts[taken.len()] += 1;
    }
    assert!(counts[0] == 0 && counts[7] == 0, "{counts:?}");
    // The standard deviation of each count is about 31.
    assert!(counts[1..7].iter().all(|n: &u32| n.abs_diff(7_000 / 6) < 190), "{counts:?}");

    let mut env = FireStart::new(Script::new(&[], &[(1, OVER), (1, OVER)])).unwrap();
    // The first game ends by action 1, the second by action 2; what is shown is the third.
    assert_eq!((reset(&mut env), env.state()), (vec![3, 0, 0], Some((3, vec![]))));
    assert_eq!((reset(&mut env), env.state()), (vec![4, 2, 0], Some((4, vec![1, 2]))));

    // A game that ends in the no-op steps starts anew, and the remaining ones follow.
    let mut env = NoopStart::new(Script::new(&[], &[(1, OVER), (1, OVER)]), 1).unwrap();
    assert_eq!(reset(&mut env), [2, 0, 0]);
}

#[test]
fn a_lost_life_ends_an_episode_and_the_game_goes_on() {
    let mut env = EpisodicLife::new(Script::new(&[2, 4, 7], &[(6, End::Truncated)])).unwrap();
    env = env.with_noop(3).unwrap();
    assert_eq!(reset(&mut env), [1, 0, 0]);
    assert_eq!((step(&mut env, 0), step(&mut env, 0)), (None, Some(OVER)));
    assert_eq!((reset(&mut env), env.continued(), env.lives()), (vec![1, 3, 0], true, 3));
    assert_eq!(env.state().unwrap().2.1, [0, 0, 3]);
    // A reset in the midst of a life comes from outside: a new game.
    assert_eq!((reset(&mut env), env.continued()), (vec![2, 0, 0], false));
    // So does one after a lost life was played past.
    assert_eq!([0; 3].map(|a| step(&mut env, a)), [None, Some(OVER), None]);
    assert_eq!((reset(&mut env), env.continued()), (vec![3, 0, 0], false));
    // Without a reset at all nothing is known of lives, and nothing ends.
    let mut env = EpisodicLife::new(Script::new(&[1], &[])).unwrap();
    assert_eq!(step(&mut env, 0), None);
}

#[test]
fn the_game_may_be_over_when_a_life_is_lost() {
    // In the same step: a termination for the learner, and a new game.
    let script = Script::new(&[2], &[(2, End::Truncated), (3, OVER)]);
    let mut env = EpisodicLife::new(script).unwrap();
    reset(&mut env);
    assert_eq!([0; 2].map(|a| step(&mut env, a)), [None, Some(OVER)]);
    assert_eq!((reset(&mut env), env.continued()), (vec![2, 0, 0], false));
    // In the no-op step of the reset: a new game too.
    assert_eq!([0; 2].map(|a| step(&mut env, a)), [None, Some(OVER)]);
    assert_eq!((reset(&mut env), env.continued()), (vec![3, 0, 0], false));
    // A game without lives goes on until it ends.
    let mut env = EpisodicLife::new(Script::new(&[2, 2, 2, 2], &[(4, OVER)])).unwrap();
    reset(&mut env);
    assert_eq!([0; 4].map(|a| step(&mut env, a)), [None, None, None, Some(OVER)]);
    // A life lost within the start of a new game does not make it the old one.
    let lost_at_start = EpisodicLife::new(Script::new(&[1], &[(5, OVER)])).unwrap();
    let mut env = FireStart::new(lost_at_start).unwrap();
    assert_eq!((reset(&mut env), env.continued()), (vec![1, 3, 0], false));
    let mut env = NoopStart::new(EpisodicLife::new(Script::new(&[1], &[])).unwrap(), 1).unwrap();
    assert_eq!((reset(&mut env), env.continued()), (vec![1, 2, 0], false));
    // Nor does the end of the old one within its start.
    let over_at_start = EpisodicLife::new(Script::new(&[4], &[(6, OVER)])).unwrap();
    let mut env = FireStart::new(over_at_start).unwrap();
    assert_eq!(
        (reset(&mut env), step(&mut env, 0), step(&mut env, 0)),
        (vec![1, 2, 0], None, Some(OVER))
    );
    assert_eq!((reset(&mut env), env.continued()), (vec![2, 1, 0], false));
    let over_at_start = EpisodicLife::new(Script::new(&[4], &[(6, OVER)])).unwrap();
    let mut env = NoopStart::new(over_at_start, 1).unwrap();
    assert_eq!(
        (reset(&mut env), [0; 3].map(|a| step(&mut env, a))),
        (vec![1, 1, 0], [None, None, Some(OVER)])
    );
    assert_eq!((reset(&mut env), env.continued()), (vec![2, 0, 0], false));
}

struct Same;

impl<E: Env<Action = Discrete>> ActionMap<E> for Same {
    type Action = Discrete;
    fn space(&self, env: &E) -> Result<Discrete> {
        Ok(env.action_space())
    }
    fn map(&self, action: usize, to: &mut [u32]) -> Result<()> {
        to[0] = action as u32;
        Ok(())
    }
}

#[test]
fn lives_and_what_goes_on_pass_through_every_wrapper() {
    fn passes<E>(mut env: E)
    where
        E: Lives<Obs = BoxSpace<u8>, Action = Discrete>,
    {
        assert!(!{
            reset(&mut env);
            env.continued()
        });
        assert_eq!(env.lives(), 4);
        while step(&mut env, 0).is_none() {}
        assert_eq!(env.lives(), 3);
        reset(&mut env);
        assert!(env.continued());
    }
    let game = || EpisodicLife::new(Script::new(&[20], &[])).unwrap();
    passes(game());
    passes(NoopStart::new(game(), 2).unwrap());
    passes(FireStart::new(game()).unwrap());
    passes(FrameSkip::new(game(), 3).unwrap());
    passes(FrameStack::new(game(), 2).unwrap());
    passes(Greyscale::new(game()).unwrap());
    passes(MapAction::wrap(game(), Same).unwrap());
    passes(TimeLimit::new(game(), 100).unwrap());
    // A time limit outside cuts a life, and then a new game starts.
    let mut env = TimeLimit::new(game(), 5).unwrap();
    reset(&mut env);
    while step(&mut env, 0).is_none() {}
    assert_eq!((reset(&mut env), env.continued()), (vec![2, 0, 0], false));
}

fn lives(n: usize) -> Vec<EpisodicLife<Game>> {
    (0..n).map(|_| EpisodicLife::new(Game::default()).unwrap()).collect()
}

/// A game has thirty frames in three lives, two of which pass within resets, and each frame pays 2.
#[test]
fn episodes_are_whole_games() {
    let mut serial = SerialVecEnv::new(lives(3), Seeds::new(0)).unwrap();
    let mut threaded = ThreadedVecEnv::new(lives(3), Seeds::new(0), 2).unwrap();
    serial.reset().unwrap();
    threaded.reset().unwrap();
    let (mut ends, mut episodes) = (0, Vec::new());
    for t in 0..70 {
        if t == 12 {
            // Cut from outside in its second life: nothing of that game counts.
            serial.reset().unwrap();
            threaded.reset().unwrap();
        }
        serial.step(&[0; 3]).unwrap();
        threaded.step(&[0; 3]).unwrap();
        assert_eq!(serial.batch().ends(), threaded.batch().ends());
        assert_eq!(serial.batch().episodes(), threaded.batch().episodes());
        ends += serial.batch().ends().iter().flatten().count();
        episodes.extend(serial.batch().episodes().iter().map(|e| (t, e.episode_return, e.length)));
        if t == 30 {
            // Saved in the midst of a game; what it had earned is kept.
            let saved = serial.save().unwrap();
            serial = SerialVecEnv::new(lives(3), Seeds::new(1)).unwrap();
            serial.load(&saved).unwrap();
        }
    }
    assert_eq!(episodes, [[(39, 56.0, 28); 3], [(67, 56.0, 28); 3]].concat());
    assert_eq!(ends, 3 * (1 + 3 + 3));
}

#[test]
fn an_evaluation_counts_whole_games() {
    struct First;
    impl rl_core::Policy for First {
        type Obs = BoxSpace<u8>;
        type Action = Discrete;
        fn act_greedily(&mut self, _: &[u8], actions: &mut [u32]) -> Result<()> {
            actions.fill(0);
            Ok(())
        }
    }
    let mut envs = SerialVecEnv::new(lives(2), Seeds::new(0)).unwrap();
    let evaluation = evaluate(&mut First, &mut envs, 3).unwrap();
    assert_eq!((evaluation.returns, evaluation.lengths), (vec![56.0; 3], vec![28; 3]));
}
