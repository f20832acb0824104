use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn lists(text: &str) -> Result<AgentLists, AgentListError> {
    AgentLists::parse(text.as_bytes(), Path::new("agents.txt"))
}

fn class(lists: &AgentLists, agent: &str) -> VisitClass {
    lists.judge(Some(agent.as_bytes())).class
}

#[track_caller]
fn all(expected: VisitClass, agents: &[&str]) {
    let lists = AgentLists::built_in();
    for agent in agents {
        assert_eq!(class(&lists, agent), expected, "{agent}");
    }
}

#[test]
fn programs_are_known() {
    all(
        VisitClass::Bot,
        &[
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 \
             Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
            "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; \
             Bytespider; spider-feedback@bytedance.com)",
            "CCBot/2.0 (https://commoncrawl.org/faq/)",
            "curl/8.5.0",
            "Wget/1.21.4",
            "python-requests/2.31.0",
            "Python/3.11 aiohttp/3.9.1",
            "Go-http-client/1.1",
            "okhttp/4.12.0",
            "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)",
            "Weather/1.0 CFNetwork/1494.0.7 Darwin/23.4.0",
            "Java/17.0.9",
            "Apache-HttpClient/4.5.14 (Java/17.0.9)",
            "axios/1.6.2",
            "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
            "node",
            "Ruby",
            "libwww-perl/6.72",
            "GuzzleHttp/7",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "kube-probe/1.29",
            "ELB-HealthChecker/2.0",
            "Mozilla/5.0 zgrab/0.x",
            "Some Crawler of mine",
            "MyLinkChecker 3",
            "MyBot/1",
            "bot_of_us",
            "-",
            "   ",
            "",
        ],
    );
    assert_eq!(AgentLists::built_in().judge(None), Agent::BOT);
}

#[test]
fn previews_are_known_also_where_they_say_bot() {
    all(
        VisitClass::Preview,
        &[
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Twitterbot/1.0",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 \
             Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "WhatsApp/2.23.20.0 A",
            "TelegramBot (like TwitterBot)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
            "Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)",
            "Mozilla/5.0 (compatible; Pinterestbot/1.0; +http://www.pinterest.com/bot.html)",
            "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)",
            "Mozilla/5.0 (compatible; Embedly/0.2; +http://support.embed.ly/)",
            "facebookexternalhit/1.1;line-poker/1.0",
            "http.rb/5.1.1 (Mastodon/4.2.1; +https://mastodon.example/)",
            "Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)",
            "Synapse (bot; +https://github.com/matrix-org/synapse)",
        ],
    );
}

#[test]
fn people_are_people() {
    all(
        VisitClass::Human,
        &[
            // A phone whose maker has the word in its name, also inside an app.
            "Mozilla/5.0 (Linux; Android 9; CUBOT X18 Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 \
             Mobile Safari/537.36",
            "SomeApp/2 (CUBOT_NOTE_S)",
            // Browsers inside apps.
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 [FBAN/FBIOS;FBAV/465.0.0.42.110;FBDV/iPhone14,5]",
            "Mozilla/5.0 (Linux; Android 14; SM-S918B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
             Chrome/126.0.0.0 Mobile Safari/537.36 Instagram 335.0.0.39.93 Android",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 Safari Line/14.5.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 [Pinterest/iOS]",
            "Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
             Chrome/120.0.0.0 Mobile Safari/537.36 QR Scanner/2.1",
            "Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile \
             Safari/537.36 QwantMobile/4.1",
            // Old ones with much in them.
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR 2.0.50727; Tablet PC 2.0)",
            "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Nokia6300/2.0 (05.00) Profile/MIDP-2.0 Configuration/CLDC-1.1",
        ],
    );
    all(VisitClass::Human, &device::TYPICAL);
}

#[test]
fn devices_are_told_apart() {
    let lists = AgentLists::built_in();
    for (expected, agent) in [
        (Device::Desktop, device::TYPICAL[0]),
        (Device::Desktop, device::TYPICAL[1]),
        (Device::Phone, device::TYPICAL[2]),
        (Device::Phone, device::TYPICAL[3]),
        (Device::Desktop, device::TYPICAL[4]),
        (Device::Phone, device::TYPICAL[5]),
        (Device::Desktop, device::TYPICAL[6]),
        (Device::Phone, device::TYPICAL[7]),
        (Device::Unknown, device::TYPICAL[8]),
        (Device::Desktop, "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36"),
        (
            Device::Desktop,
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR 2.0.50727; Tablet PC 2.0)",
        ),
        (
            Device::Tablet,
            "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 \
             Mobile/15E148 Safari/604.1",
        ),
        (Device::Tablet, "Mozilla/5.0 (Linux; Android 13; SM-X906B) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36"),
        (Device::Tablet, "Mozilla/5.0 (Android 13; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0"),
        (
            Device::Tablet,
            "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/108.4 like Chrome/108.0 \
             Safari/537.36",
        ),
        (Device::Phone, "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16"),
        (Device::Phone, "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5"),
        (
            Device::Other,
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
        ),
        (
            Device::Other,
            "Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7633) AppleWebKit/537.36 (KHTML, like Gecko) Silk/108.4 like \
             Chrome/108.0 Safari/537.36",
        ),
        (
            Device::Other,
            "Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 Version/15.4 Safari/605.1.15",
        ),
        (Device::Other, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 Edge/44.18363"),
    ] {
        let judged = lists.judge(Some(agent.as_bytes()));
        assert_eq!(judged, Agent { class: VisitClass::Human, device: expected }, "{agent}");
    }
    assert_eq!(lists.judge(Some(b"curl/8 (iPad)")).device, Device::Unknown, "of programs none is known");
}

#[test]
fn patterns_keep_to_where_they_may_be() {
    let text = "bot anywhere\nbot |word\nbot end|\nbot |whole|\npreview ^first";
    let lists = lists(text).unwrap();
    for (agent, expected) in [
        ("xANYwherex", VisitClass::Bot),
        ("a Word1", VisitClass::Bot),
        ("wordy", VisitClass::Bot),
        ("asword", VisitClass::Human),
        ("bookend/1", VisitClass::Bot),
        ("bookend", VisitClass::Bot),
        ("ender", VisitClass::Human),
        ("(whole)", VisitClass::Bot),
        ("wholes", VisitClass::Human),
        ("First/1", VisitClass::Preview),
        ("at first", VisitClass::Human),
    ] {
        assert_eq!(class(&lists, agent), expected, "{agent}");
    }
}

#[test]
fn which_word_wins() {
    let lists = lists("bot alpha\npreview beta\nhuman gamma\nignore xalphax\nignore botched").unwrap();
    for (agent, expected) in [
        ("alpha", VisitClass::Bot),
        ("alpha beta", VisitClass::Preview),
        ("beta alpha", VisitClass::Preview),
        ("gamma alpha beta", VisitClass::Human),
        ("xalphax", VisitClass::Human),
        ("xalphax alpha", VisitClass::Bot),
        // The library takes this for a crawler, unless it was named here.
        ("somebot/1", VisitClass::Bot),
        ("somebot/1 gamma", VisitClass::Human),
        ("somebot/1 botched", VisitClass::Human),
    ] {
        assert_eq!(class(&lists, agent), expected, "{agent}");
    }
}

#[test]
fn a_file_replaces_the_built_in_lists_or_extends_them() {
    let own = lists("# Ours\r\n\r\nhuman OurApp/\r\nbot Other Thing").unwrap();
    assert_eq!(class(&own, "other thing 1"), VisitClass::Bot);
    assert_eq!(class(&own, "axios/1.6.2"), VisitClass::Human);
    assert_eq!(own.len(), 2);

    let both = lists("human ourapp/\nhuman axios\ninclude built-in\nbot twitterbot").unwrap();
    for (agent, expected) in [
        ("OurApp/1 okhttp/4", VisitClass::Human),
        ("okhttp/4", VisitClass::Bot),
        ("axios/1.6.2", VisitClass::Human),
        ("Twitterbot/1.0", VisitClass::Bot),
    ] {
        assert_eq!(class(&both, agent), expected, "{agent}");
    }
    assert!(both.len() > AgentLists::built_in().len() && !both.is_empty());
}

#[test]
fn a_bad_file_is_refused_with_line_and_value() {
    for (text, message) in [
        ("bot ab\nbots ab", "agents.txt:2: `bots ab` is none of `bot PATTERN`"),
        ("bot", "agents.txt:1: the pattern `` has 0 bytes; it must have 2 to 128"),
        ("\n\nbot |x|", "agents.txt:3: the pattern `|x|` has 1 bytes"),
        ("preview |", "agents.txt:1: the pattern `|` has 0 bytes"),
        ("bot a\u{7}b", "agents.txt:1: the pattern `a\\u{7}b` has a control character"),
        ("bot ab\npreview AB", "agents.txt:2: `preview AB` contradicts a line before"),
        ("include built-ins", "agents.txt:1: `include built-ins` is none of"),
        ("# nothing\n", "agents.txt has no pattern"),
        ("", "agents.txt has no pattern"),
    ] {
        let error = lists(text).err().unwrap().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let bytes = AgentLists::parse(b"bot ab\nbot \xff\xfe", Path::new("agents.txt")).err().unwrap().to_string();
    assert!(bytes.starts_with("agents.txt:2: `bot \u{fffd}"), "{bytes}");
    let long = lists(&format!("bot {}", "x".repeat(129))).err().unwrap().to_string();
    assert!(long.contains("has 129 bytes"), "{long}");
    let many: String = (0..=format::PATTERNS).map(|number| format!("bot n{number}n\n")).collect();
    let many = lists(&many).err().unwrap().to_string();
    assert!(many.starts_with("agents.txt:4097: there are more than 4096 patterns"), "{many}");
    assert!(lists("bot same\nbot same").is_ok());
}

#[test]
fn what_is_no_file_of_lists_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = AgentLists::load(&dir.path().join("none")).err().unwrap();
    assert!(matches!(&missing, AgentListError::Io { .. }) && missing.to_string().contains("none"), "{missing}");
    assert!(matches!(AgentLists::load(dir.path()), Err(AgentListError::NoFile { .. })));
    let long = dir.path().join("long");
    fs::write(&long, "# ".repeat(128 * 1024 + 1)).unwrap();
    assert!(matches!(AgentLists::load(&long), Err(AgentListError::TooLong { .. })));
}

#[test]
fn changes_of_the_file_are_followed_and_bad_ones_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agents.txt");
    let put = |text: &str| {
        let new = dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
    };
    put("bot one");
    let shared = SharedAgents::open(Some(path.clone())).unwrap();
    let (generation, first) = shared.current();
    assert_eq!((generation, shared.generation()), (1, 1));
    assert!(shared.reload_if_changed().is_none(), "nothing has changed");

    put("bot two");
    assert!(matches!(shared.reload_if_changed(), Some(Ok(()))));
    let (generation, second) = shared.current();
    assert_eq!((generation, shared.generation()), (2, 2));
    assert_eq!(class(&first, "one two three"), VisitClass::Bot);
    assert_eq!((class(&second, "one"), class(&second, "two")), (VisitClass::Human, VisitClass::Bot));

    put("nonsense");
    assert!(matches!(shared.reload_if_changed(), Some(Err(AgentListError::Line { line: 1, .. }))));
    assert!(shared.reload_if_changed().is_none(), "it was told");
    fs::remove_file(&path).unwrap();
    assert!(matches!(shared.reload_if_changed(), Some(Err(AgentListError::Io { .. }))));
    assert!(shared.reload_if_changed().is_none(), "it was told");
    assert_eq!(shared.generation(), 2);
    assert!(Arc::ptr_eq(&shared.current().1, &second), "the good lists stay");

    put("bot three");
    assert!(matches!(shared.reload_if_changed(), Some(Ok(()))));
    assert_eq!((shared.generation(), class(&shared.current().1, "three")), (3, VisitClass::Bot));
}

#[test]
fn without_a_file_the_built_in_lists_are_used_and_a_bad_one_is_refused() {
    let shared = SharedAgents::open(None).unwrap();
    assert_eq!(class(&shared.current().1, "curl/8"), VisitClass::Bot);
    assert!(shared.reload_if_changed().is_none());
    assert!(SharedAgents::open(Some("/nowhere/agents.txt".into())).is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_judged(agent: Vec<u8>, tail in "(Mozilla/|Android|iPad|bot|Windows Phone|MSIE|KDDI-|;|\\)| ){0,12}") {
        static LISTS: std::sync::LazyLock<AgentLists> = std::sync::LazyLock::new(AgentLists::built_in);
        for agent in [&agent[..], tail.as_bytes(), &[tail.as_bytes(), &agent].concat()] {
            let judged = LISTS.judge(Some(agent));
            prop_assert!(judged.class != VisitClass::Head);
            prop_assert!(judged.class == VisitClass::Human || judged.device == Device::Unknown);
        }
    }

    #[test]
    fn the_case_of_letters_makes_no_difference_to_patterns(agent in "[ -~]{0,60}") {
        let lists = lists("bot ab\nbot |c-\npreview dd|").unwrap();
        prop_assert_eq!(
            class(&lists, &agent) == VisitClass::Preview,
            class(&lists, &agent.to_ascii_uppercase()) == VisitClass::Preview
        );
    }

    #[test]
    fn any_file_is_read_or_refused(text in "((bot|preview|human|ignore|include) ?[|^]?[a-c]{0,3}[|]?\n){0,6}", noise: Vec<u8>) {
        let read = AgentLists::parse(text.as_bytes(), Path::new("agents.txt"));
        if let Ok(lists) = read {
            lists.judge(Some(b"abc"));
        }
        prop_assert!(AgentLists::parse(&noise, Path::new("agents.txt")).map(|lists| lists.len()).unwrap_or(1) > 0);
    }
}
